--[[ promote_jobs: lets delayed jobs run now.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 how many at most, earliest first, then the ids; no ids: all of them
Returns  how many were moved; call until 0 for all
Events   waiting (prev delayed), a job
Bound    ARGV 2: 200
Why      A bounded batch, and each keeps its priority. ]]
-- @include base/keys
-- @include base/check_queue
-- @include place/check_moving
-- @include place/moving
-- @include place/promote
-- @include place/mark_next_due
-- @include place/wake_worker
-- @include base/trim_events

check_queue(q)
local ids, moved = {}, 0
for i = 3, #ARGV do ids[#ids + 1] = ARGV[i] end
if #ids == 0 then ids = redis.call('ZRANGE', q.delayed, 0, tonumber(ARGV[2]) - 1) end
if #ids > 0 then
  check_moving(q)
  trim_events(q)
end
for i = 1, #ids do
  local id, due = ids[i], redis.call('ZSCORE', q.delayed, ids[i])
  if due then
    moving(q, { id }, function() return { 'ZADD', q.delayed, due, id } end, function()
      redis.call('ZREM', q.delayed, id)
      -- an id without a job counts as moved, so that a caller who goes on until 0 comes to an end
      promote(id)
    end)
    moved = moved + 1
  end
end
if moved > 0 then
  wake_worker(q)
  mark_next_due(q)
end
return moved
