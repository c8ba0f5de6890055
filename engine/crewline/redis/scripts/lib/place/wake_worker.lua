-- @include base/fields
-- How many more jobs may be active under a queue's global limit; nil where it has none, or what is no number. `held` is
-- its settings: paused, concurrency.
local function free_places(queue, held)
  local most = held[2] and number(held[2], nil)
  return most and most - redis.call('LLEN', queue.active)
end

-- Wakes one idle worker, unless nobody may fetch now.
local function wake_worker(queue)
  local held = queue == q and meta or redis.call('HMGET', queue.meta, 'paused', 'concurrency')
  if held[1] then return end
  local free = free_places(queue, held)
  if free and free <= 0 then return end
  redis.call('ZADD', queue.marker, '0', '0')
end

local function has_runnable(queue)
  return redis.call('LLEN', queue.wait) + redis.call('ZCARD', queue.prioritized) > 0
end
