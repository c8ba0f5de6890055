--[[ update_progress: sets a job's progress.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 id, 3 progress (JSON text), 4 token of the worker that runs it, or '' for any other client
Returns  0, -1 no such job, -6 the lease is not this worker's any more
Events   progress
Bound    one job, whose progress is stored and told: 3 ms a MB, and 1 MiB at most
Why      A worker that lost its lease must not write over the one that has it now. ]]
-- @include base/keys
-- @include base/trim_events

local job = base .. ARGV[2]
-- as in check_types
redis.call('HLEN', q.meta)
redis.call('XLEN', q.events)
if redis.call('EXISTS', job) == 0 then return -1 end
if ARGV[4] ~= '' and redis.call('GET', job .. ':lock') ~= ARGV[4] then return -6 end
redis.call('HSET', job, 'progress', ARGV[3])
redis.call('XADD', q.events, '*', 'event', 'progress', 'jobId', ARGV[2], 'data', ARGV[3])
trim_events(q)
return 0
