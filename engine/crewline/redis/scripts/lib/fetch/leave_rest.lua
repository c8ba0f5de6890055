-- What was taken behind ids[last], and is not read now, goes back. What was taken from `wait` behind suspects comes before
-- them: they are not this caller's.
local function leave_rest(ids, last, scores)
  for i = #ids, last + 1, -1 do
    local id = ids[i]
    redis.call('LREM', q.active, 1, id)
    if scores[id] then redis.call('ZADD', q.prioritized, scores[id], id) else redis.call('RPUSH', q.wait, id) end
  end
end
