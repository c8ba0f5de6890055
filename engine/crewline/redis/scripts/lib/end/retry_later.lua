-- @include base/counts
-- @include base/clock
-- @include base/fields
-- @include end/append_trace
-- @include place/delay_job
-- @include place/keep_for_larger
-- @include place/push_job
-- A job that failed and is tried again, now or after a delay: the attempt counts once it has gone there. Returns where it
-- went: delayed or wait.
local function retry_later(id, job, reason, told)
  local delay, traces = number(told.delay, 0), append_trace(job, told)
  local went = delay > 0 and 'delayed' or 'wait'
  if told.larger then
    went, delay = keep_for_larger(id, job, told.larger, now + delay)
  elseif delay > 0 then
    delay_job(q, id, now + delay)
  else
    local priority = priority_of(job)
    push_job(q, id, priority, lifo_place(told.lifo, priority), 'active')
  end
  increment(job, 'atm')
  redis.call('HSET', job, 'failedReason', reason, 'stacktrace', traces, 'delay', whole(delay))
  return went
end
