-- @include base/fields
-- Caps an event stream once a call, as its queue's settings say. The newest entries stay whatever they say: whoever
-- waits for a result reads them.
local function trim_events(queue)
  local max
  if queue == q and meta then max = meta[5] else max = redis.call('HGET', queue.meta, 'opts.maxLenEvents') end
  if not max then redis.call('HSET', queue.meta, 'opts.maxLenEvents', '10000') end
  local plain = max and #max < 16 and string.find(max, '^[1-9]%d*$')
  redis.call('XTRIM', queue.events, 'MAXLEN', '~', plain and max or whole(math.max(number(max, 10000), 1)))
end
