-- Moves delayed jobs that are due to where they run from; at most 1,000 a call.
local function promote_due(now)
  local due = redis.call('ZRANGEBYSCORE', k_delayed, 0, string.format('%.0f', now * 4096 + 4095), 'LIMIT', 0, 1000)
  if #due == 0 then return 0 end
  redis.call('ZREM', k_delayed, unpack(due))
  for i = 1, #due do
    local job = base .. due[i]
    push_job(k_wait, k_prioritized, k_counter, due[i], priority_of(job), false)
    redis.call('HSET', job, 'delay', '0')
    redis.call('XADD', k_events, '*', 'event', 'waiting', 'jobId', due[i], 'prev', 'delayed')
  end
  return #due
end
