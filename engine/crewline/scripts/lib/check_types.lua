-- Raises WRONGTYPE, before anything was written, if a key that the script changes is of another type (a foreign
-- client's doing): a script that raises in the middle leaves half a change behind, and loses jobs. 5 µs a call.
redis.call('LLEN', q.wait)
redis.call('LLEN', q.active)
redis.call('XLEN', q.events)
redis.call('HLEN', q.meta)
for _, key in ipairs({ q.prioritized, q.delayed, q.completed, q.failed, q.marker }) do redis.call('ZCARD', key) end
