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

-- Lets a parent run whose children have ended (or will not be waited for any longer).
local function release_parent(queue, id)
  if redis.call('ZREM', queue.children, id) == 0 then return end
  local job = queue.base .. id
  local delay = number(redis.pcall('HGET', job, 'delay'), 0)
  if delay > 0 then
    delay_job(queue, id, now + delay)
    mark_next_due(queue)
  else
    local priority = priority_of(job)
    push_job(queue, id, priority, priority == 0, 'waiting-children')
    wake_worker(queue)
  end
  if queue ~= q then trim_events(queue) end
end
