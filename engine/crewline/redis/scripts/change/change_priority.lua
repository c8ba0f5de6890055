--[[ change_priority: moves a waiting job among its like, or sets what a delayed one will have.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 id, 3 priority, 4 '1' to put it before its equals
Returns  0, -1 no such job
Events   none
Bound    one job; it is looked for in `wait`, which takes as long as that is
Why      A job that is not waiting keeps its place; only its hash says what it will be. ]]
-- @include base/keys
-- @include base/check_queue
-- @include base/is_job
-- @include place/moving
-- @include place/push_job
-- @include place/wake_worker

check_queue(q)
local id, job, priority = ARGV[2], base .. ARGV[2], tonumber(ARGV[3])
if not is_job(job) then return -1 end
redis.call('HSET', job, 'priority', ARGV[3])
local back
moving(q, { id }, function() return back end, function()
  local score = redis.call('ZSCORE', q.prioritized, id)
  if score and priority == 0 then
    redis.call('ZREM', q.prioritized, id)
    back = { 'ZADD', q.prioritized, score, id }
  elseif not score and redis.call('LREM', q.wait, 1, id) == 1 then
    back = { 'RPUSH', q.wait, id }
  elseif not score and redis.call('LREM', q.paused, 1, id) == 1 then
    back = { 'RPUSH', q.paused, id }
  elseif not score then
    return
  end
  place_job(q, id, priority, ARGV[4] == '1')
  wake_worker(q)
end)
return 0
