-- Writes a job to the dead-letter queue in the very call that fails it for good, so that neither is ever without
-- the other. The letter is a plain waiting job there: every BullMQ dashboard shows it.
-- `data` and `opts` are JSON texts and go in verbatim; `unreadable` data (not JSON) goes in as a string.
local function dead_letter(name, letters, id, title, reason, stack, attempts, data, opts, unreadable)
  if unreadable then data = cjson.encode(data) end
  if not next(parse(opts)) then opts = '{}' end
  local body = '{"queue":' .. cjson.encode(name) .. ',"jobId":' .. cjson.encode(id) ..
    ',"name":' .. cjson.encode(title) .. ',"reason":' .. cjson.encode(reason) ..
    ',"stack":' .. stack .. ',"attempts":' .. attempts .. ',"failedAt":' .. stamp ..
    ',"data":' .. data .. ',"options":' .. opts .. '}'
  local letter_id = add_job(letters, '', title, body, '{"attempts":1}', '0', '0', false)
  wake_worker(letters)
  trim_events(letters)
  return letter_id
end
