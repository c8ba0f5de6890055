-- @include base/clock
-- @include base/trim_events
-- @include place/push_job
-- @include base/owner_of
-- @include base/counts
-- @include base/parse
-- @include base/queue_at
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
  -- pcall: the key may be anything by now
  local told = redis.pcall('HMGET', job, 'delay', 'due', 'timestamp')
  local delay, moment = number(told[1], 0), number(told[2], nil)
  if moment then redis.call('HDEL', job, 'due') end
  if delay <= 0 then return nil end
  local due = moment or (from_add and number(told[3], now) or now) + delay
  if due > now then return due end
  redis.call('HSET', job, 'delay', '0')
end

local function let_run(queue, id)
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
end

-- Lets a parent run whose children have ended (or will not be waited for any longer). A delay that is no moment counts
-- from now, as in BullMQ.
local function release_parent(queue, id)
  if redis.call('ZREM', queue.children, id) == 0 then return end
  local whole_call, why = pcall(let_run, queue, id)
  if not whole_call then
    -- a parent in another queue may be nobody's whom Redis lets do this
    redis.call('ZADD', queue.children, stamp, id)
    error(why, 0)
  end
  if queue ~= q then trim_events(queue) end
end
