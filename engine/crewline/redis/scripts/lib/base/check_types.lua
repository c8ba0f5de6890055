-- Raises WRONGTYPE, before anything was written, if a key that the script changes is of another type (a foreign
-- client's doing): a script that raises in the middle leaves half a change behind, and loses jobs. What is read for
-- that is used further on.
local size = { delayed = redis.call('ZCARD', q.delayed), prioritized = redis.call('ZCARD', q.prioritized) }
meta = redis.call('HMGET', q.meta, 'paused', 'concurrency', 'max', 'duration', 'opts.maxLenEvents')
redis.call('LLEN', q.wait)
redis.call('LLEN', q.active)
redis.call('XLEN', q.events)
redis.call('ZCARD', q.marker)
