--[[ remove_job: deletes a job that nobody runs.

KEYS     the queue's declared keys (lib/keys.lua)
ARGV     1 base, 2 id
Returns  1 removed, 0 a worker holds it, -1 no such job
Events   removed
Why      A job under a lease is a worker's; taking it away would let its result write to a job that is gone. ]]
-- @include keys
-- @include fields
-- @include delete_jobs
-- @include delay_job
-- @include trim_events

local id, job = ARGV[2], base .. ARGV[2]
if redis.call('EXISTS', job) == 0 then return -1 end
if redis.call('EXISTS', job .. ':lock') == 1 then return 0 end
local prev = 'unknown'
if redis.call('LREM', k_wait, 0, id) + redis.call('LREM', k_paused, 0, id) > 0 then prev = 'waiting'
elseif redis.call('ZREM', k_prioritized, id) == 1 then prev = 'prioritized'
elseif redis.call('ZREM', k_delayed, id) == 1 then
  prev = 'delayed'
  mark_next_due(k_delayed, k_marker)
elseif redis.call('ZREM', k_completed, id) == 1 then prev = 'completed'
elseif redis.call('ZREM', k_failed, id) == 1 then prev = 'failed'
elseif redis.call('LREM', k_active, 0, id) > 0 then prev = 'active' end
delete_jobs(base, { id })
redis.call('XADD', k_events, '*', 'event', 'removed', 'jobId', id, 'prev', prev)
trim_events(k_meta, k_events)
return 1
