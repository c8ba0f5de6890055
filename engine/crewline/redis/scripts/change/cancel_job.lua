--[[ cancel_job: ends a job from outside.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 id, 3 reason
         4 written   the retention of failed jobs that our producers write where nothing was said, "<count>,<age in s>"
Returns  1 it waited and has failed now, 2 its worker will be told at its next beat, 0 it had ended, -1 no such job;
         {1, what was refused beside that} where something was
Events   failed, for one that waited
Bound    one job, and 50 that its retention does not keep; it is looked for in the lists that it may be in, which takes
         as long as they are
Why      A job that runs is its worker's to end: only a mark is left, which the worker finds within a second. It names
         the run that it is for, by its token. Where that run ends before in a way that would have the job run again (a
         retry, a hand-back, a worker that died), the job ends with it all the same. ]]
-- @include base/keys
-- @include base/check_queue
-- @include base/even_full
-- @include base/fields
-- @include base/own_key
-- @include base/is_job
-- @include end/check_end
-- @include end/end_from_outside
-- @include end/finished
-- @include forget/check_taking
-- @include place/moving
-- @include place/remove_from_state

check_queue(q)
local id, job, reason = ARGV[2], base .. ARGV[2], ARGV[3]
if not is_job(job) then return -1 end
if redis.call('ZSCORE', q.completed, id) or redis.call('ZSCORE', q.failed, id) then return 0 end
local token = redis.call('GET', job .. ':lock')
if token then
  local cancels = own_key(q, 'cancels')
  even_full()
  redis.call('HSET', cancels, id, cjson.encode({ token, reason, redis.call('HGET', job, 'ats') or '' }))
  redis.call('EXPIRE', cancels, 86400)
  return 2
end
check_end_of(job)
check_taking(q)
local finished = finished_jobs()
moving(q, { id }, to_its_state, function()
  end_from_outside(finished, id, job, reason, remove_from_state(q, id), ARGV[4])
  store_finished(finished)
end)
return refusals and { 1, refusals } or 1
