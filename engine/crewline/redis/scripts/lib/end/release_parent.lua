-- @include base/clock
-- @include base/trim_events
-- @include place/push_job
-- @include base/owner_of
-- What a job's end means to the parent that waits for it.
local function parent_of(parent_key, parent_json)
  local link = parse(parent_json)
  if type(link.queueKey) == 'string' and type(link.id) == 'string' then
    return queue_at(link.queueKey .. ':'), link.id, link
  end
  local queue, id = owner_of(parent_key)
  return queue, id, link
end

-- When a job is due that waited for others: at the moment that it was given, or its delay after now, or after it was
-- added (`from_add`); nil where it has none, or that has passed.
local function due_of(job, from_add)
  local told = redis.call('HMGET', job, 'delay', 'due', 'timestamp')
  local delay, moment = number(told[1], 0), number(told[2], nil)
  if moment then redis.call('HDEL', job, 'due') end
  if delay <= 0 then return nil end
  local due = moment or (from_add and number(told[3], now) or now) + delay
  if due > now then return due end
  redis.call('HSET', job, 'delay', '0')
end

-- Lets a parent run whose children have ended (or will not be waited for any longer). A delay that is no moment counts
-- from now, as in BullMQ.
local function release_parent(queue, id)
  if redis.call('ZREM', queue.children, id) == 0 then return end
  local job = queue.base .. id
  local due = due_of(job)
  if due then
    delay_job(queue, id, due)
    mark_next_due(queue)
  else
    local priority = priority_of(job)
    push_job(queue, id, priority, priority == 0, 'waiting-children')
    wake_worker(queue)
  end
  if queue ~= q then trim_events(queue) end
end

local function child_completed(parent_key, parent_json, child, value)
  local queue, id = parent_of(parent_key, parent_json)
  if not queue then return end
  local waits = parent_key .. ':dependencies'
  if redis.call('SREM', waits, child) == 0 then return end
  redis.call('HSET', parent_key .. ':processed', child, value)
  if redis.call('EXISTS', waits) == 0 then release_parent(queue, id) end
end

-- A child that failed for good: its own options say what becomes of the parent. Without any, it waits on.
local function child_failed(parent_key, parent_json, child, reason)
  local queue, id, link = parent_of(parent_key, parent_json)
  if not queue then return end
  local waits = parent_key .. ':dependencies'
  if link.fpof then
    if redis.call('SREM', waits, child) == 0 then return end
    redis.call('ZADD', parent_key .. ':unsuccessful', stamp, child)
    redis.call('HSET', parent_key, 'defa', 'child ' .. child .. ' failed')
    release_parent(queue, id)
  elseif link.cpof then
    if redis.call('SREM', waits, child) == 0 then return end
    redis.call('HSET', parent_key .. ':failed', child, reason)
    release_parent(queue, id)
  elseif link.idof or link.rdof then
    if redis.call('SREM', waits, child) == 0 then return end
    if link.idof then redis.call('HSET', parent_key .. ':failed', child, reason) end
    if redis.call('EXISTS', waits) == 0 then release_parent(queue, id) end
  end
end

-- A child that was removed is not waited for.
local function child_removed(parent_key, parent_json, child)
  local queue, id = parent_of(parent_key, parent_json)
  if not queue then return end
  local waits = parent_key .. ':dependencies'
  if redis.call('SREM', waits, child) == 1 and redis.call('EXISTS', waits) == 0 then release_parent(queue, id) end
end
