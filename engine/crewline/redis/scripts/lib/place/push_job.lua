-- @include base/denied
-- @include base/fields
-- The list that runnable jobs go to. As in BullMQ 6 that is `wait`, paused or not; but BullMQ 5 parks them in `paused`
-- and, when it resumes, renames that over `wait`: what was put there meanwhile would be lost. Every resume brings back
-- what is parked.
local function list_to_wait_in(queue)
  if queue == q and meta and not meta[1] then return queue.wait end
  local told = heed(redis.pcall('HMGET', queue.meta, 'paused', 'version'))
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

-- A job that is `lifo` runs before those that wait (see says_lifo); within a priority order is by time.
local function lifo_place(lifo, priority)
  return lifo and priority == 0
end

-- It is told before it is done: where Redis refuses one of both, the job is where it was.
local function push_job(queue, id, priority, front, prev)
  if prev then
    redis.call('XADD', queue.events, '*', 'event', 'waiting', 'jobId', id, 'prev', prev)
  else
    redis.call('XADD', queue.events, '*', 'event', 'waiting', 'jobId', id)
  end
  place_job(queue, id, priority, front)
end
