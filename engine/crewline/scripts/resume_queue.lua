--[[ resume_queue: workers fetch again.

KEYS     the queue's declared keys (lib/keys.lua)
ARGV     1 base
Returns  {1 if it was paused, ids still in the list that BullMQ 5 keeps paused jobs in}; call again while there are any
Events   resumed
Why      BullMQ 5 parks jobs in `paused`; they are merged into `wait`, never renamed over it: a rename loses jobs. ]]
-- @include keys
-- @include fields
-- @include push_job
-- @include delay_job

local changed = redis.call('HDEL', k_meta, 'paused')
local parked = redis.call('LRANGE', k_paused, -5000, -1)
if #parked > 0 then
  redis.call('LTRIM', k_paused, 0, -#parked - 1)
  -- the right end runs first: what was parked is older than what came after, and keeps its order
  redis.call('RPUSH', k_wait, unpack(parked))
end
if redis.call('LLEN', k_wait) + redis.call('ZCARD', k_prioritized) > 0 then
  wake_worker(k_meta, k_active, k_marker)
else
  mark_next_due(k_delayed, k_marker)
end
if changed == 1 then redis.call('XADD', k_events, '*', 'event', 'resumed') end
return { changed, redis.call('LLEN', k_paused) }
