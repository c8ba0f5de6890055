--[[ beat: says that a worker lives, and hears which of its jobs are to be cancelled and what its settings are.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base
         2 registry  a sorted set of our own: worker by the time it counts as dead
         3 worker    the worker's own hash
         4 cancels   a hash of our own: reason by job id
         5 settings  a string of our own: the queue's settings, JSON
         6 name, 7 time to live in ms, 8 JSON of what the worker tells of itself
         9 known     SHA-1 of the settings that the worker has, '' for none; then the ids of its running jobs
Returns  {cancels, settings}: {id, reason} of each running job that is to be cancelled; the settings where they are not
         those known, '' if there are none any more
Events   none
Why      One call a beat for the registry that dashboards and the operator read, for cancellation and for settings. The
         digest rather than their generation: whoever writes them by hand need not count. ]]
-- @include base/keys
-- @include base/clock

redis.call('ZREMRANGEBYSCORE', ARGV[2], '-inf', stamp)
redis.call('ZADD', ARGV[2], string.format('%.0f', now + tonumber(ARGV[7])), ARGV[6])
redis.call('SET', ARGV[3], ARGV[8], 'PX', ARGV[7])
redis.call('PEXPIRE', ARGV[2], ARGV[7])
local told = {}
if #ARGV > 9 and redis.call('EXISTS', ARGV[4]) == 1 then
  for i = 10, #ARGV do
    local reason = redis.call('HGET', ARGV[4], ARGV[i])
    if reason then
      told[#told + 1] = { ARGV[i], reason }
      redis.call('HDEL', ARGV[4], ARGV[i])
    end
  end
end
-- a key of another type that somebody put there counts as none: the worker has to go on beating
local settings = redis.pcall('GET', ARGV[5])
if type(settings) ~= 'string' then settings = '' end
local digest = settings == '' and '' or redis.sha1hex(settings)
if digest == ARGV[9] then return { told } end
return { told, settings }
