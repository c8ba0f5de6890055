-- Writes a job to the dead-letter queue in the very call that fails it for good, so that neither is ever without
-- the other. The letter is a plain waiting job there: every BullMQ dashboard shows it.
-- `data` and `opts` are JSON texts and go in verbatim; `unreadable` data (not JSON) goes in as a string.
local function dead_letter(queue, letters, id, name, reason, stack, attempts, now, data, opts, unreadable)
  if unreadable then data = cjson.encode(data) end
  local letter_id = tostring(redis.call('INCR', letters .. 'id'))
  local letter = letters .. letter_id
  local body = '{"queue":' .. cjson.encode(queue) .. ',"jobId":' .. cjson.encode(id) ..
    ',"name":' .. cjson.encode(name) .. ',"reason":' .. cjson.encode(reason) ..
    ',"stack":' .. stack .. ',"attempts":' .. attempts .. ',"failedAt":' .. string.format('%.0f', now) ..
    ',"data":' .. data .. ',"options":' .. opts .. '}'
  redis.call('HSET', letter, 'name', name, 'data', body, 'opts', '{"attempts":1}', 'timestamp',
    string.format('%.0f', now), 'delay', '0', 'priority', '0')
  redis.call('XADD', letters .. 'events', '*', 'event', 'added', 'jobId', letter_id, 'name', name)
  redis.call('LPUSH', letters .. 'wait', letter_id)
  redis.call('XADD', letters .. 'events', '*', 'event', 'waiting', 'jobId', letter_id)
  wake_worker(letters .. 'meta', letters .. 'active', letters .. 'marker')
  trim_events(letters .. 'meta', letters .. 'events')
  return letter_id
end
