-- @include base/most_id
-- Raises WRONGTYPE, before anything was written, if a key that a queue consists of is of another type (a foreign
-- client's doing): a script that raises in the middle leaves half a change behind. check_types does as much where each
-- microsecond counts. As bad is an event stream whose last id a client has set to the largest. `adds`: jobs are to be added, so that the counter of ids must be one.
local function check_queue(queue, adds)
  for _, name in ipairs({ 'wait', 'paused', 'active' }) do redis.call('LLEN', queue[name]) end
  for _, name in ipairs({ 'prioritized', 'delayed', 'completed', 'failed', 'children', 'marker' }) do
    redis.call('ZCARD', queue[name])
  end
  redis.call('HLEN', queue.meta)
  -- no entry can have this id, so that nothing is added: why not tells whether another can be
  local told = redis.call('XLEN', queue.events) > 0 and redis.pcall('XADD', queue.events, '0-1', 'event', '')
  if told and string.find(told.err, 'exhausted', 1, true) then
    error('the last id of ' .. queue.events .. ' was set to the largest there is, and no event can be written: delete it')
  end
  local count = adds and redis.call('GET', queue.id)
  if count and not (string.find(count, '^-?%d+$') and tonumber(count) < MOST_ID) then error(no_more_ids(queue)) end
end
