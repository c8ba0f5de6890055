--[[ cancel_job: ends a job from outside.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 id, 3 reason, 4 cancels   a hash of our own: reason by job id
Returns  1 it waited and has failed now, 2 its worker will be told at its next beat, 0 it had ended, -1 no such job
Events   failed, for one that waited
Why      A job that runs is its worker's to end: only a mark is left, which the worker finds within a second. ]]
-- @include base/keys
-- @include base/clock
-- @include end/release_parent
-- @include end/release_dedup_key
-- @include place/remove_from_state

local id, job = ARGV[2], base .. ARGV[2]
if redis.call('EXISTS', job) == 0 then return -1 end
if redis.call('ZSCORE', q.completed, id) or redis.call('ZSCORE', q.failed, id) then return 0 end
if redis.call('EXISTS', job .. ':lock') == 1 then
  redis.call('HSET', ARGV[4], id, ARGV[3])
  redis.call('EXPIRE', ARGV[4], 86400)
  return 2
end
local prev = remove_from_state(q, id)
local links = redis.call('HMGET', job, 'parentKey', 'parent', 'deid')
redis.call('HSET', job, 'failedReason', ARGV[3], 'finishedOn', stamp)
redis.call('ZADD', q.failed, stamp, id)
redis.call('XADD', q.events, '*', 'event', 'failed', 'jobId', id, 'failedReason', ARGV[3], 'prev', prev)
if links[1] then child_failed(links[1], links[2], job, ARGV[3]) end
if links[3] then release_dedup(q, id, links[3]) end
trim_events(q)
return 1
