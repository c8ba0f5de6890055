-- @include add/held_ids
-- @include base/clock
-- @include base/fields
-- @include base/most_id
-- @include place/push_job
-- @include place/delay_job
-- Stores one job and puts it where it belongs; every way of adding goes through here.
-- `delay` is milliseconds from now, or '@' and an absolute time: a job that waits for something before keeps that as `due`,
-- while milliseconds count from when that has come. `extra` (a table) may hold
--   parentKey, parent (JSON)   the parent that waits for it
--   children                   true: it waits for children that are added with it
--   rjk                        the job scheduler it is an iteration of
--   de                         {id, ttl, extend, replace, keepLastIfActive}: deduplication
--   kept                       the key that it was kept in while another ran, which has its data
--   in_parts                   true: it is of a tree that is added in parts: one that it replaces stays until all of the
--                              tree is there; told to it: `replaces`, its id
-- `batch` (a table) is given by a caller that adds many:
--   number                     the queue's number for this job (text), counted already; nil where that is the caller's
--                              to do, and the job has an id
--   fresh                      true: no job has that number
--   waiting                    a list that takes the id of a job that waits behind all others, for the caller to push
--   storing                    told to it: the last id that was begun with. Where a refusal is raised, the caller undoes
--                              what was added; without a batch nothing of the job is left
-- A caller with a batch also calls forget_replaced at its end, where any `held_ids` are.
-- Returns the id, and what became of it: wait, delayed, children, duplicate, deduplicated.

local function store_job(queue, id, job, name, data, opts, delay, priority, lifo, extra, batch, due, moment)
  if extra and extra.kept then
    -- @include add/take_kept
    take_kept(extra, job, opts, delay, priority)
  else
    redis.call('HSET', job, 'name', name, 'data', data, 'opts', opts, 'timestamp', stamp, 'delay', delay,
      'priority', priority)
  end
  if extra then
    if extra.de then redis.call('HSET', job, 'deid', extra.de.id) end
    if extra.rjk then redis.call('HSET', job, 'rjk', extra.rjk) end
    -- a parent that has gone meanwhile, even by being replaced here, waits for nobody
    if extra.parentKey and not going[extra.parentKey] and redis.call('EXISTS', extra.parentKey) == 1 then
      redis.call('HSET', job, 'parentKey', extra.parentKey, 'parent', extra.parent)
      redis.call('SADD', extra.parentKey .. ':dependencies', job)
    end
  end
  redis.call('XADD', queue.events, '*', 'event', 'added', 'jobId', id, 'name', name)
  if extra and extra.children then
    if moment then redis.call('HSET', job, 'due', moment) end
    redis.call('ZADD', queue.children, stamp, id)
    redis.call('XADD', queue.events, '*', 'event', 'waiting-children', 'jobId', id)
    return 'children'
  elseif delay ~= '0' then
    -- since when it waits is told by nothing else, once it has come to wait
    if moment then redis.call('HSET', job, 'due', moment) end
    delay_job(queue, id, due)
    return 'delayed'
  end
  if batch and batch.waiting and priority == '0' and not lifo then
    batch.waiting[#batch.waiting + 1] = id
    redis.call('XADD', queue.events, '*', 'event', 'waiting', 'jobId', id)
  else
    priority = tonumber(priority)
    push_job(queue, id, priority, lifo_place(lifo, priority))
  end
  return 'wait'
end

-- Made when the first job of a call needs it.
local deduplicates

local function add_job(queue, id, name, data, opts, delay, priority, lifo, extra, batch)
  -- the counter also counts custom ids, as BullMQ's does: dashboards find queues by it
  local count = not batch and redis.call('INCR', queue.id)
  local counted_as = count and whole(count) or batch.number
  local fresh = id == '' and batch and batch.fresh
  if id == '' then
    if count and count > MOST_ID then error(no_more_ids(queue)) end
    id = counted_as
    -- a counter that was lost while jobs were kept must not take the next job for one of them
    local step = 1
    while not fresh and redis.call('EXISTS', queue.base .. id) == 1 do
      id = whole(redis.call('INCRBY', queue.id, step))
      step = step * 2
    end
    fresh = true
  end
  local job = queue.base .. id
  if going[job] then
    -- two can't have one key: the one that goes does so now
    -- @include add/forget_replaced
    forget_replaced()
  end
  if not fresh and redis.call('EXISTS', job) == 1 then
    if extra and extra.parentKey then
      -- @include add/link_existing
      link_existing(queue, id, job, extra)
    end
    redis.call('XADD', queue.events, '*', 'event', 'duplicated', 'jobId', id)
    return id, 'duplicate'
  end
  local due, moment
  if string.byte(delay) == 64 then
    due = tonumber(string.sub(delay, 2))
    delay = whole(math.max(due - now, 0))
    moment = delay ~= '0' and whole(due) or nil
  elseif delay ~= '0' then
    due = now + tonumber(delay)
  end
  if extra and extra.de then
    if not deduplicates then
      -- @include add/is_deduplicated
      deduplicates = is_deduplicated
    end
    local taken, holder = deduplicates(queue, id, name, data, opts, extra, delay, moment)
    if taken then return holder, 'deduplicated' end
  end
  if batch then
    batch.storing = id
    return id, store_job(queue, id, job, name, data, opts, delay, priority, lifo, extra, batch, due, moment)
  end
  local stored, place = pcall(store_job, queue, id, job, name, data, opts, delay, priority, lifo, extra, nil, due, moment)
  local why = place
  if stored and next(going) then
    -- @include add/forget_replaced
    stored, why = pcall(forget_replaced)
  end
  if stored then return id, place end
  -- @include add/undo_adding
  undo_adding(queue, id, extra and extra.taken and extra.kept)
  error(why, 0)
end
