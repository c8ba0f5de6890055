--[[ mark_alone: says on a suspect job whether it runs with nothing beside it now.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 id, 3 token of the worker that runs it, 4 '1' or ''
Returns  0, -6 the lease is not this worker's any more
Events   none
Bound    one job
Why      A worker that dies now was taken down by this very job: recover_stalled counts it. ]]
-- @include base/keys

local job = base .. ARGV[2]
if redis.call('GET', job .. ':lock') ~= ARGV[3] then return -6 end
if ARGV[4] == '1' then redis.call('HSET', job, 'alone', '1') else redis.call('HDEL', job, 'alone') end
return 0
