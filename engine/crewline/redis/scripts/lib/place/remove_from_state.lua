-- @include place/mark_next_due
-- @include place/wake_worker
-- Takes an id out of whatever state it is in; returns that state's name as BullMQ's events say it. The lists come last:
-- to look through one takes as long as it is.
local function remove_from_state(queue, id)
  if redis.call('ZREM', queue.delayed, id) == 1 then
    mark_next_due(queue)
    return 'delayed'
  end
  if redis.call('ZREM', queue.completed, id) == 1 then return 'completed' end
  if redis.call('ZREM', queue.failed, id) == 1 then return 'failed' end
  if redis.call('ZREM', queue.children, id) == 1 then return 'waiting-children' end
  if redis.call('ZREM', queue.prioritized, id) == 1 then return 'prioritized' end
  if redis.call('LREM', queue.active, 1, id) > 0 then
    -- under a global limit there is a place now
    if has_runnable(queue) then wake_worker(queue) end
    return 'active'
  end
  if redis.call('LREM', queue.wait, 1, id) > 0 then return 'wait' end
  if redis.call('LREM', queue.paused, 1, id) > 0 then return 'paused' end
  return 'unknown'
end
