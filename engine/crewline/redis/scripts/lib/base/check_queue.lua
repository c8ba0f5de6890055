-- Raises WRONGTYPE, before anything was written, if a key that a queue consists of is of another type (a foreign
-- client's doing): a script that raises in the middle leaves half a change behind. check_types does as much for the
-- called queue where each microsecond counts.
local function check_queue(queue)
  for _, name in ipairs({ 'wait', 'paused', 'active' }) do redis.call('LLEN', queue[name]) end
  for _, name in ipairs({ 'prioritized', 'delayed', 'completed', 'failed', 'children', 'marker' }) do
    redis.call('ZCARD', queue[name])
  end
  redis.call('HLEN', queue.meta)
  redis.call('XLEN', queue.events)
end
