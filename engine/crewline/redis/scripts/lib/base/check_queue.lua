-- @include base/most_id
-- Raises WRONGTYPE, before anything was written, if a key that a queue consists of is of another type (a foreign
-- client's doing): a script that raises in the middle leaves half a change behind. check_types does as much where each
-- microsecond counts. `adds`: jobs are to be added, so that the counter of ids must be one.
local function check_queue(queue, adds)
  for _, name in ipairs({ 'wait', 'paused', 'active' }) do redis.call('LLEN', queue[name]) end
  for _, name in ipairs({ 'prioritized', 'delayed', 'completed', 'failed', 'children', 'marker' }) do
    redis.call('ZCARD', queue[name])
  end
  redis.call('HLEN', queue.meta)
  redis.call('XLEN', queue.events)
  local count = adds and redis.call('GET', queue.id)
  if count and not (string.find(count, '^-?%d+$') and tonumber(count) < MOST_ID) then error(no_more_ids(queue)) end
end
