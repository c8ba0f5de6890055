-- @include add/held_ids
-- @include place/mark_next_due
-- @include place/moving
-- Forgets the jobs whose place others took in this call, as its last step: those of a queue at once. Each is told of when
-- it is gone.
local function forget_replaced()
  -- @include forget/forget_jobs
  local gone, scores = {}, {}
  for i = 1, #replacing do
    local queue, id = replacing[i].queue, replacing[i].earlier
    if id then
      if not gone[queue] then gone[queue] = {} end
      table.insert(gone[queue], id)
      scores[queue.base .. id] = redis.call('ZSCORE', queue.delayed, id)
    end
  end
  for queue, ids in pairs(gone) do
    moving(queue, ids, function(id)
      local score = scores[queue.base .. id]
      return score and { 'ZADD', queue.delayed, score, id }
    end, function()
      redis.call('ZREM', queue.delayed, unpack(ids))
      mark_next_due(queue)
      forget_jobs(queue, ids)
    end)
  end
  for i = 1, #replacing do
    local held = replacing[i]
    local queue, later = held.queue, held.later
    if later then redis.pcall('UNLINK', later) end
    if held.earlier then
      redis.pcall('XADD', queue.events, '*', 'event', 'removed', 'jobId', held.earlier, 'prev', 'delayed')
    end
    held.earlier, held.later = nil, nil
  end
  replacing, going = {}, {}
end
