-- @include base/fields
-- Tells idle workers when the next delayed job is due.
local function mark_next_due(queue)
  local head = redis.call('ZRANGE', queue.delayed, 0, 0, 'WITHSCORES')
  local due = head[2] and number(tonumber(head[2]) / 4096, nil)
  if due then redis.call('ZADD', queue.marker, whole(due), '1') end
end
