-- Makes a job runnable: behind its equals, or before them (`front`).
-- `wait` runs from its right end; a priority's score is priority * 2^32 + a counter.
local function push_job(wait, prioritized, counter, id, priority, front)
  if priority > 0 then
    local place = 0
    if not front then place = redis.call('INCR', counter) % 4294967296 end
    redis.call('ZADD', prioritized, string.format('%.0f', priority * 4294967296 + place), id)
  elseif front then
    redis.call('RPUSH', wait, id)
  else
    redis.call('LPUSH', wait, id)
  end
end

-- Wakes one idle worker, unless nobody may fetch now.
local function wake_worker(meta, active, marker)
  local held = redis.call('HMGET', meta, 'paused', 'concurrency')
  if held[1] then return end
  if held[2] and redis.call('LLEN', active) >= number(held[2], 1e9) then return end
  redis.call('ZADD', marker, 0, '0')
end
