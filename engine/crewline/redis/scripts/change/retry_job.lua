--[[ retry_job: runs a finished job again.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 id, 3 '1' to give it all its attempts again
Returns  1 it waits again, -1 no such job, -3 it is neither failed nor completed
Events   waiting (prev failed or completed)
Bound    one job
Why      The result and the reason of the old run go with it, or readers would take them for the new one's. ]]
-- @include base/keys
-- @include base/check_queue
-- @include base/trim_events
-- @include place/rerun_job
-- @include place/says_lifo
-- @include place/wake_worker

check_queue(q)
local id = ARGV[2]
if redis.pcall('HEXISTS', base .. id, 'name') ~= 1 then return -1 end
local prev
if redis.call('ZREM', q.failed, id) == 1 then prev = 'failed'
elseif redis.call('ZREM', q.completed, id) == 1 then prev = 'completed'
else return -3 end
rerun_job(id, prev, ARGV[3] == '1', says_lifo(redis.call('HGET', base .. id, 'opts')))
wake_worker(q)
trim_events(q)
return 1
