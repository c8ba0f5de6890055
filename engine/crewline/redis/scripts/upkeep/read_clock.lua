--[[ read_clock: the time by the clock of the Redis that has this queue.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base
Returns  epoch milliseconds
Events   none
Why      In a cluster each node has a clock, and TIME would go to any of them. ]]
-- @include base/keys
-- @include base/clock

return now
