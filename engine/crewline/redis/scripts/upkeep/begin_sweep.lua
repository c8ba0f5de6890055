--[[ begin_sweep: whether the next sweep is the caller's.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base
         2 round   milliseconds; one sweep a queue in this time, whoever makes it
Returns  1, or 0 where somebody began one within that time
Events   none
Bound    none needed
Why      All workers of a queue sweep it, and one a round is enough. To ask and to close the gate is one step, so that no
         two begin at once, whatever Redis' clock does. ]]
-- @include base/keys
-- @include base/own_key
-- @include upkeep/passes_gate

return passes_gate(own_key(q, 'sweep'), ARGV[2], tonumber(ARGV[2])) and 1 or 0
