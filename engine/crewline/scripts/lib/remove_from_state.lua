-- Takes an id out of whatever state it is in; returns that state's name as BullMQ's events say it.
local function remove_from_state(id)
  if redis.call('LREM', q.wait, 0, id) > 0 then return 'wait' end
  if redis.call('LREM', q.paused, 0, id) > 0 then return 'paused' end
  if redis.call('ZREM', q.prioritized, id) == 1 then return 'prioritized' end
  if redis.call('ZREM', q.delayed, id) == 1 then
    mark_next_due(q)
    return 'delayed'
  end
  if redis.call('ZREM', q.completed, id) == 1 then return 'completed' end
  if redis.call('ZREM', q.failed, id) == 1 then return 'failed' end
  if redis.call('ZREM', q.children, id) == 1 then return 'waiting-children' end
  if redis.call('LREM', q.active, 0, id) > 0 then return 'active' end
  return 'unknown'
end
