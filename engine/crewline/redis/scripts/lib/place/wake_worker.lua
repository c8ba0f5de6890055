-- @include base/fields
-- Wakes one idle worker, unless nobody may fetch now.
local function wake_worker(queue)
  local held = queue == q and meta or redis.call('HMGET', queue.meta, 'paused', 'concurrency')
  if held[1] then return end
  if held[2] and redis.call('LLEN', queue.active) >= number(held[2], 1e9) then return end
  redis.call('ZADD', queue.marker, '0', '0')
end

local function has_runnable(queue)
  return redis.call('LLEN', queue.wait) + redis.call('ZCARD', queue.prioritized) > 0
end
