-- @include base/fields
-- Puts an id into `delayed`. The score is due * 4096 + a sequence number, so that jobs due in the same
-- millisecond keep their order (at most 4096 of them; more share the last place).
local function delay_job(queue, id, due)
  local first, last = due * 4096, due * 4096 + 4095
  local top = redis.call('ZREVRANGEBYSCORE', queue.delayed, whole(last), whole(first), 'WITHSCORES', 'LIMIT', 0, 1)
  local score = first
  if top[2] then score = math.min(tonumber(top[2]) + 1, last) end
  redis.call('ZADD', queue.delayed, whole(score), id)
  redis.call('XADD', queue.events, '*', 'event', 'delayed', 'jobId', id, 'delay', whole(due))
end

-- Tells idle workers when the next delayed job is due.
local function mark_next_due(queue)
  local head = redis.call('ZRANGE', queue.delayed, 0, 0, 'WITHSCORES')
  local due = head[2] and number(tonumber(head[2]) / 4096, nil)
  if due then redis.call('ZADD', queue.marker, whole(due), '1') end
end

-- The list that runnable jobs go to. As in BullMQ 6 that is `wait`, paused or not; but BullMQ 5 parks them in `paused`
-- and, when it resumes, renames that over `wait`: what was put there meanwhile would be lost. Every resume brings back
-- what is parked.
local function list_to_wait_in(queue)
  if queue == q and meta and not meta[1] then return queue.wait end
  local told = redis.pcall('HMGET', queue.meta, 'paused', 'version')
  if told.err or not told[1] then return queue.wait end
  local parked = redis.call('TYPE', queue.paused).ok
  -- where jobs are left in `wait`, its own pause was not the one
  local parks = parked == 'none' and string.find(told[2] or '', '^bullmq:5%.') and redis.call('LLEN', queue.wait) == 0
  return (parked == 'list' or parks) and queue.paused or queue.wait
end

-- Makes a job runnable: behind its equals, or before them (`front`).
-- `wait` runs from its right end; a priority's score is priority * 2^32 + a counter.
local function place_job(queue, id, priority, front)
  if priority > 0 then
    local place = 0
    if not front then
      place = redis.pcall('INCR', queue.counter)
      if type(place) ~= 'number' then
        redis.call('SET', queue.counter, '1')
        place = 1
      end
      place = place % 4294967296
    end
    redis.call('ZADD', queue.prioritized, whole(priority * 4294967296 + place), id)
  elseif front then
    redis.call('RPUSH', list_to_wait_in(queue), id)
  else
    redis.call('LPUSH', list_to_wait_in(queue), id)
  end
end

-- A job that was added `lifo` runs before those that wait, whenever it comes to wait; within a priority order is by time.
local function lifo_place(lifo, priority)
  return lifo and priority == 0
end

local function push_job(queue, id, priority, front, prev)
  place_job(queue, id, priority, front)
  if prev then
    redis.call('XADD', queue.events, '*', 'event', 'waiting', 'jobId', id, 'prev', prev)
  else
    redis.call('XADD', queue.events, '*', 'event', 'waiting', 'jobId', id)
  end
end

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
