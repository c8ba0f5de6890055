-- @include end/release_parent
-- A job that ended well.
local function complete(id, job, value, links)
  -- a parent's event precedes its child's, as in BullMQ
  if links[1] then attempt(child_completed, links[1], links[2], job, value) end
  redis.call('XADD', q.events, '*', 'event', 'completed', 'jobId', id, 'returnvalue', value, 'prev', 'active')
  redis.call('HSET', job, 'returnvalue', value, 'finishedOn', stamp, 'atm', counted(links[4]))
end
