-- @include base/owner_of
-- @include base/parse
-- @include base/queue_at
-- @include base/trim_events
-- @include end/let_run
-- @include place/mark_next_due
-- @include place/wake_worker
-- What a job's end means to the parent that waits for it.
local function parent_of(parent_key, parent_json)
  local link = parse(parent_json)
  if type(link.queueKey) == 'string' and type(link.id) == 'string' then
    return queue_at(link.queueKey .. ':'), link.id, link
  end
  local queue, id = owner_of(parent_key)
  return queue, id, link
end

-- Whoever waits for jobs where a parent has come to hears of it.
local function announce_release(queue, place)
  if place == 'delayed' then mark_next_due(queue) else wake_worker(queue) end
  if queue ~= q then trim_events(queue) end
end

-- Lets a parent run whose children have ended (or will not be waited for any longer). A delay that is no moment counts
-- from now, as in BullMQ.
local function release_parent(queue, id)
  local place = let_run(queue, id)
  if place then announce_release(queue, place) end
end
