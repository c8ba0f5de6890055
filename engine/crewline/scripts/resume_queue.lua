--[[ resume_queue: workers fetch again.

KEYS     the queue's declared keys (lib/keys.lua)
ARGV     1 base
Returns  {1 if it was paused, ids still in the list that BullMQ 5 keeps paused jobs in}; call again while there are any
Events   resumed
Why      BullMQ 5 parks jobs in `paused`; they are merged into `wait`, never renamed over it: a rename loses jobs. ]]
-- @include keys
-- @include fields
-- @include move_job

local changed = redis.call('HDEL', q.meta, 'paused')
local parked = redis.call('LRANGE', q.paused, -5000, -1)
if #parked > 0 then
  redis.call('LTRIM', q.paused, 0, -#parked - 1)
  -- the right end runs first: what was parked is older than what came after, and keeps its order
  redis.call('RPUSH', q.wait, unpack(parked))
end
if has_runnable(q) then wake_worker(q) else mark_next_due(q) end
if changed == 1 then redis.call('XADD', q.events, '*', 'event', 'resumed') end
return { changed, redis.call('LLEN', q.paused) }
