-- @include base/fields
-- Puts an id into `delayed`. The score is due * 4096 + a sequence number, so that jobs due in the same
-- millisecond keep their order (at most 4096 of them; more share the last place).
local function delay_job(queue, id, due)
  local first, last = due * 4096, due * 4096 + 4095
  local top = redis.call('ZREVRANGEBYSCORE', queue.delayed, whole(last), whole(first), 'WITHSCORES', 'LIMIT', 0, 1)
  local score = first
  if top[2] then score = math.min(tonumber(top[2]) + 1, last) end
  -- as in push_job
  redis.call('XADD', queue.events, '*', 'event', 'delayed', 'jobId', id, 'delay', whole(due))
  redis.call('ZADD', queue.delayed, whole(score), id)
end
