-- @include base/clock
-- @include place/push_job
-- Moves delayed jobs that are due to where they run from; at most 1,000 a call.
local function promote_due()
  local due = redis.call('ZRANGEBYSCORE', q.delayed, '-inf', whole(now * 4096 + 4095), 'LIMIT', 0, 1000)
  if #due == 0 then return 0 end
  redis.call('ZREM', q.delayed, unpack(due))
  for i = 1, #due do
    local job = base .. due[i]
    -- an id without a job (a foreign client deleted it, or it never was one): nothing to run
    if redis.call('TYPE', job).ok == 'hash' then
      push_job(q, due[i], priority_of(job), false, 'delayed')
      redis.call('HSET', job, 'delay', '0')
    end
  end
  return #due
end
