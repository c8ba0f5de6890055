--[[ append_log: adds a line to a job's log.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 id, 3 line, 4 how many lines to keep, 5 token of the worker that runs it, or ''
Returns  the number of lines kept, -1 no such job, -6 the lease is not this worker's any more
Events   none
Bound    one line, of 65,536 characters at most
Why      A log without a bound fills Redis. ]]
-- @include base/keys

local job = base .. ARGV[2]
if redis.call('EXISTS', job) == 0 then return -1 end
if ARGV[5] ~= '' and redis.call('GET', job .. ':lock') ~= ARGV[5] then return -6 end
local lines = redis.call('RPUSH', job .. ':logs', ARGV[3])
if lines > tonumber(ARGV[4]) then
  redis.call('LTRIM', job .. ':logs', -tonumber(ARGV[4]), -1)
  lines = tonumber(ARGV[4])
end
return lines
