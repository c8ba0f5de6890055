--[[ forget_children: a parent that runs waits no longer for its unfinished children.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 id, 3 token of the worker that runs it, or '' for any other client
Returns  how many it waited for, -1 no such job, -3 it does not run, -6 the lease is not this worker's any more
Events   none
Bound    one job: its set goes in the background
Why      One that still waits for its children is let go by the last of them: had it forgotten them, nobody would. And a
         worker that lost its lease must not take away what the one that has it now waits for. ]]
-- @include base/keys

local job = base .. ARGV[2]
if redis.call('EXISTS', job) == 0 then return -1 end
local held = redis.call('GET', job .. ':lock')
if ARGV[3] ~= '' and held ~= ARGV[3] then return -6 end
if not held and not redis.call('LPOS', q.active, ARGV[2]) then return -3 end
local count = redis.call('SCARD', job .. ':dependencies')
redis.call('UNLINK', job .. ':dependencies')
return count
