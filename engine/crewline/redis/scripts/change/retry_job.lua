--[[ retry_job: runs a finished job again.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 id, 3 '1' to give it all its attempts again
Returns  1 it waits again, -1 no such job, -3 it is neither failed nor completed;
         {1, what was refused beside that} where something was: its parent could not be told
Events   waiting (prev failed or completed)
Bound    one job
Why      The result and the reason of the old run go with it, or readers would take them for the new one's. ]]
-- @include base/keys
-- @include base/check_queue
-- @include base/fields
-- @include base/trim_events
-- @include base/is_job
-- @include place/check_moving
-- @include place/moving
-- @include place/rerun_job
-- @include place/says_lifo
-- @include place/wake_worker

check_queue(q)
local id = ARGV[2]
if not is_job(base .. id) then return -1 end
local prev, ended = 'failed', redis.call('ZSCORE', q.failed, id)
if not ended then prev, ended = 'completed', redis.call('ZSCORE', q.completed, id) end
if not ended then return -3 end
local lifo = says_lifo(redis.call('HGET', base .. id, 'opts'))
check_moving(q)
trim_events(q)
moving(q, { id }, function() return { 'ZADD', q[prev], ended, id } end, function()
  redis.call('ZREM', q[prev], id)
  rerun_job(id, prev, ARGV[3] == '1', lifo)
end)
wake_worker(q)
return refusals and { 1, refusals } or 1
