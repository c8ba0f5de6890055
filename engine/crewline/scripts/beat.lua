--[[ beat: says that a worker lives, and hears which of its jobs are to be cancelled.

KEYS     the queue's declared keys (lib/keys.lua)
ARGV     1 base
         2 registry  a sorted set of our own: worker by the time it counts as dead
         3 worker    the worker's own hash
         4 cancels   a hash of our own: reason by job id
         5 name, 6 time to live in ms, 7 JSON of what the worker tells of itself, then the ids of its running jobs
Returns  {id, reason} of each running job that is to be cancelled
Events   none
Why      One call a beat for the registry that dashboards and the operator read and for cancellation. ]]
-- @include keys
-- @include clock

redis.call('ZREMRANGEBYSCORE', ARGV[2], '-inf', stamp)
redis.call('ZADD', ARGV[2], string.format('%.0f', now + tonumber(ARGV[6])), ARGV[5])
redis.call('SET', ARGV[3], ARGV[7], 'PX', ARGV[6])
redis.call('PEXPIRE', ARGV[2], ARGV[6])
local told = {}
if #ARGV > 7 and redis.call('EXISTS', ARGV[4]) == 1 then
  for i = 8, #ARGV do
    local reason = redis.call('HGET', ARGV[4], ARGV[i])
    if reason then
      told[#told + 1] = { ARGV[i], reason }
      redis.call('HDEL', ARGV[4], ARGV[i])
    end
  end
end
return told
