--[[ cancel_job: ends a job from outside.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 id, 3 reason
Returns  1 it waited and has failed now, 2 its worker will be told at its next beat, 0 it had ended, -1 no such job
Events   failed, for one that waited
Bound    one job; it is looked for in the lists that it may be in, which takes as long as they are
Why      A job that runs is its worker's to end: only a mark is left, which the worker finds within a second. It names
         the run that it is for, by its token: no other run of the job is meant. ]]
-- @include base/keys
-- @include base/clock
-- @include base/trim_events
-- @include end/clear_run
-- @include end/release_parent
-- @include end/release_dedup_key
-- @include add/add_kept_last
-- @include place/remove_from_state

local id, job, reason = ARGV[2], base .. ARGV[2], ARGV[3]
if redis.call('EXISTS', job) == 0 then return -1 end
if redis.call('ZSCORE', q.completed, id) or redis.call('ZSCORE', q.failed, id) then return 0 end
local token = redis.call('GET', job .. ':lock')
if token then
  local cancels = own_key(q, 'cancels')
  redis.call('HSET', cancels, id, cjson.encode({ token, reason }))
  redis.call('EXPIRE', cancels, 86400)
  return 2
end
local prev = remove_from_state(q, id)
clear_run(id, job)
local links = redis.call('HMGET', job, 'parentKey', 'parent', 'deid')
redis.call('HSET', job, 'failedReason', reason, 'finishedOn', stamp)
redis.call('ZADD', q.failed, stamp, id)
redis.call('XADD', q.events, '*', 'event', 'failed', 'jobId', id, 'failedReason', reason, 'prev', prev)
if links[1] then attempt(child_failed, links[1], links[2], job, reason) end
if links[3] then
  attempt(release_dedup, q, id, links[3])
  attempt(add_kept_last, id, links[3])
end
trim_events(q)
return 1
