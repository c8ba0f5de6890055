-- @include base/counts
-- @include base/clock
-- @include base/fields
-- @include end/append_trace
-- @include place/delay_job
-- @include place/push_job
-- A job that failed and is tried again, now or after a delay. Returns where it went: delayed or wait.
local function retry_later(id, job, reason, told)
  local delay = number(told.delay, 0)
  increment(job, 'atm')
  redis.call('HSET', job, 'failedReason', reason, 'stacktrace', append_trace(job, told), 'delay', whole(delay))
  if delay > 0 then
    delay_job(q, id, now + delay)
    return 'delayed'
  end
  local priority = priority_of(job)
  push_job(q, id, priority, lifo_place(told.lifo, priority), 'active')
  return 'wait'
end
