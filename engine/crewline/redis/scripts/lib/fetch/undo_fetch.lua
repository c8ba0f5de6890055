-- @include base/clock
-- @include base/fields
-- @include base/own_key
-- @include base/told_by
-- @include end/hand_back
-- @include place/mark_next_due
-- @include place/put_right
-- @include place/wake_worker
-- What a call has begun to fetch when Redis refused it: nobody hears of these jobs, so they go back as they were.
local function undo_fetch(taken, token)
  for _, ids in ipairs(taken) do
    for i = #ids, 1, -1 do
      local id, job = ids[i], base .. ids[i]
      local holder = told_by({ 'GET', job .. ':lock' })
      if holder == nil or holder == token then
        redis.pcall('DEL', job .. ':lock')
        if told_by({ 'HGET', job, 'processedOn' }) == stamp then attempt(give_start_back, job) end
        redis.pcall('HDEL', job, 'unread')
      end
      local score, due = taken.scores[id], taken.larger[id]
      if due then redis.pcall('ZADD', own_key(q, 'larger'), whole(now), id) end
      put_right(id, due and { 'ZADD', q.delayed, due, id } or score and { 'ZADD', q.prioritized, score, id }
        or { 'RPUSH', q.wait, id })
    end
  end
  for _, id in ipairs(taken.due) do put_right(id, { 'ZADD', q.delayed, whole(now * 4096), id }) end
  -- whoever called may have had the marker, and others that may fetch wait for it
  pcall(function()
    if has_runnable(q) then wake_worker(q) end
  end)
  pcall(mark_next_due, q)
end
