--[[ change_delay: a delayed job becomes due at another time.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 id, 3 delay from now in milliseconds, or "@<epoch ms>"
Returns  0, -1 no such job, -3 it is not delayed
Events   delayed
Bound    one job
Why      The marker must tell idle workers of an earlier time. ]]
-- @include base/keys
-- @include base/clock
-- @include base/check_queue
-- @include base/trim_events
-- @include base/fields
-- @include base/is_job
-- @include place/delay_job
-- @include place/mark_next_due

check_queue(q)
local id, delay = ARGV[2], ARGV[3]
if not is_job(base .. id) then return -1 end
if not redis.call('ZSCORE', q.delayed, id) then return -3 end
local due = string.sub(delay, 1, 1) == '@' and tonumber(string.sub(delay, 2)) or now + tonumber(delay)
redis.call('HSET', base .. id, 'delay', whole(math.max(due - now, 0)))
-- over the score that it has: it is never out of this state
delay_job(q, id, due)
mark_next_due(q)
trim_events(q)
return 0
