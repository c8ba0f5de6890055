-- @include add/held_ids
-- @include forget/forget_jobs
-- @include place/mark_next_due
-- @include place/moving
-- Forgets the jobs whose place others took in this call. `held_ids` is in no order: none of its own comes of it, since
-- they were told of as they were replaced.
local function forget_replaced()
  local queues, scores, kept = {}, {}, {}
  for _, held in pairs(held_ids) do
    local queue, id = held.queue, held.earlier
    if id then
      local gone = queues[queue] or {}
      queues[queue], gone[#gone + 1] = gone, id
      scores[queue.base .. id] = redis.call('ZSCORE', queue.delayed, id)
      kept[#kept + 1] = held.later
    end
  end
  for queue, gone in pairs(queues) do
    moving(queue, gone, function(id)
      local score = scores[queue.base .. id]
      return score and { 'ZADD', queue.delayed, score, id }
    end, function()
      redis.call('ZREM', queue.delayed, unpack(gone))
      mark_next_due(queue)
      forget_jobs(queue, gone)
    end)
  end
  for i = 1, #kept do redis.pcall('UNLINK', kept[i]) end
  for _, held in pairs(held_ids) do held.earlier, held.later = nil, nil end
  going = {}
end
