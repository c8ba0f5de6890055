-- Caps an event stream once a call, as its queue's settings say.
local function trim_events(meta, events)
  local max = redis.call('HGET', meta, 'opts.maxLenEvents')
  if not max then redis.call('HSET', meta, 'opts.maxLenEvents', '10000') end
  redis.call('XTRIM', events, 'MAXLEN', '~', math.max(number(max, 10000), 0))
end
