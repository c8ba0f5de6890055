--[[ remove_job: deletes a job that nobody runs.

KEYS     the queue's declared keys (lib/keys.lua)
ARGV     1 base, 2 id
Returns  1 removed, 0 a worker holds it, -1 no such job, -8 it is the next iteration of a schedule
Events   removed
Why      A job under a lease is a worker's; taking it away would let its result write to a job that is gone.
         A schedule's next iteration is the schedule: remove that. A parent does not wait for a removed child. ]]
-- @include keys
-- @include clock
-- @include fields
-- @include delete_jobs
-- @include move_job
-- @include trim_events
-- @include release_parent
-- @include release_dedup_key
-- @include remove_from_state

local id, job = ARGV[2], base .. ARGV[2]
if redis.call('EXISTS', job) == 0 then return -1 end
if redis.call('EXISTS', job .. ':lock') == 1 then return 0 end
local links = redis.call('HMGET', job, 'rjk', 'parentKey', 'parent', 'deid')
if links[1] and redis.call('ZSCORE', base .. 'repeat', links[1])
  and (redis.call('ZSCORE', q.delayed, id) or redis.call('LPOS', q.wait, id)) then
  return -8
end
local prev = remove_from_state(id)
if links[2] then child_removed(links[2], links[3], job) end
if links[4] then release_dedup(id, links[4]) end
delete_jobs(base, { id })
redis.call('XADD', q.events, '*', 'event', 'removed', 'jobId', id, 'prev', prev)
trim_events(q)
return 1
