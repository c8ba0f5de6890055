--[[ resume_queue: workers fetch again.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base
Returns  {1 if it was paused, 0}; or {0, ids still in the list that BullMQ 5 keeps paused jobs in}: call again then
Events   resumed
Bound    2,000 parked jobs
Why      BullMQ 5 parks jobs in `paused`; they are merged into `wait`, never renamed over it: a rename loses jobs.
         The queue stays paused until all are merged, or the first batch would run out of turn. ]]
-- @include base/keys
-- @include base/check_queue
-- @include place/mark_next_due
-- @include place/wake_worker

check_queue(q)
-- the right end runs first: what was parked is older than what came after, and its oldest ids come last
local parked = redis.call('LRANGE', q.paused, 0, 1999)
if #parked > 0 then
  -- who may not take them out is refused here, where nothing has changed
  redis.call('LTRIM', q.paused, 0, -1)
  redis.call('RPUSH', q.wait, unpack(parked))
  redis.call('LTRIM', q.paused, #parked, -1)
end
local left = redis.call('LLEN', q.paused)
if left > 0 then return { 0, left } end

local changed = redis.call('HDEL', q.meta, 'paused')
if has_runnable(q) then wake_worker(q) end
-- also where a limit lets nobody run what waits
mark_next_due(q)
if changed == 1 then redis.call('XADD', q.events, '*', 'event', 'resumed') end
return { changed, 0 }
