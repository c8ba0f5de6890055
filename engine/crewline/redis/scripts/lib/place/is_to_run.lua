-- Whether a job is to run yet: it is delayed or waits, be it where BullMQ 5 keeps what waits in its pause. The lists come
-- last: to look through one takes as long as it is.
local function is_to_run(id)
  return redis.call('ZSCORE', q.delayed, id) or redis.call('ZSCORE', q.prioritized, id)
    or redis.call('LPOS', q.wait, id) or redis.call('LPOS', q.paused, id)
end
