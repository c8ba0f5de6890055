-- @include base/clock
-- @include end/clear_run
-- @include end/child_failed
-- @include end/release_dedup
-- @include add/add_kept_last
-- A job that somebody ended, and that no worker runs now: it fails. It was in state `prev`, and is in none.
local function end_from_outside(id, job, reason, prev)
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
end
