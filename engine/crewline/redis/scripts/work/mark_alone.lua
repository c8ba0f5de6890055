--[[ mark_alone: says on a suspect job whether it runs with nothing beside it now.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 id, 3 token of the worker that runs it, 4 '1' or ''
Returns  0, -2 nobody has the lease: it ran out, -6 another has it
Events   none
Bound    one job
Why      A worker that dies now was taken down by this very job: recover_stalled counts it. ]]
-- @include base/keys

local job = base .. ARGV[2]
local held = redis.call('GET', job .. ':lock')
if held ~= ARGV[3] then return held and -6 or -2 end
if ARGV[4] == '1' then redis.call('HSET', job, 'alone', '1') else redis.call('HDEL', job, 'alone') end
return 0
