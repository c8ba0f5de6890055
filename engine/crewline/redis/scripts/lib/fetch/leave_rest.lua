-- @include base/counts
-- @include place/push_job
-- What was taken behind ids[last], and is not read now, goes back; where it was taken from behind suspects (`behind`),
-- that is before them: they are not this caller's.
local function leave_rest(ids, last, scores, behind)
  for i = #ids, last + 1, -1 do
    local id = ids[i]
    redis.call('LREM', q.active, 1, id)
    if scores[id] then redis.call('ZADD', q.prioritized, scores[id], id)
    elseif behind then place_job(q, id, priority_of(base .. id), true)
    else redis.call('RPUSH', q.wait, id) end
  end
end
