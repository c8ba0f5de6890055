-- Caps an event stream once a call, as its queue's settings say.
local function trim_events(meta, events)
  local max = redis.call('HGET', meta, 'opts.maxLenEvents')
  if not max then
    max = '10000'
    redis.call('HSET', meta, 'opts.maxLenEvents', max)
  end
  redis.call('XTRIM', events, 'MAXLEN', '~', max)
end
