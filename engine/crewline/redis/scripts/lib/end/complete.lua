-- @include base/clock
-- @include base/fields
-- @include end/other_ways
-- A job that ended well.
local function complete(id, job, value, parent, attempts)
  -- as in note_failure
  if parent then other_ways().carry_out(other_ways().child_completed, parent, redis.call('HGET', job, 'parent'), job, value) end
  redis.call('XADD', q.events, '*', 'event', 'completed', 'jobId', id, 'returnvalue', value, 'prev', 'active')
  redis.call('HSET', job, 'returnvalue', value, 'finishedOn', stamp, 'atm', counted(attempts))
end
