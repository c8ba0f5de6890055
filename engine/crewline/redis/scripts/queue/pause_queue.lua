--[[ pause_queue: no worker fetches until resume_queue.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base
Returns  1 if it was running, 0 if it was paused already
Events   paused
Bound    one queue
Why      As BullMQ 6: a flag, and no list is renamed, so that nothing can be lost in between. ]]
-- @include base/keys
-- @include base/even_full

-- as in check_types
redis.call('XLEN', q.events)
even_full()
local changed = redis.call('HSETNX', q.meta, 'paused', 1)
redis.call('DEL', q.marker)
if changed == 1 then redis.call('XADD', q.events, '*', 'event', 'paused') end
return changed
