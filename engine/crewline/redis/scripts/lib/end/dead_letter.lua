-- @include base/parse
-- @include base/clock
-- @include add/add_job
-- One byte that is no UTF-8 would make a whole letter unreadable: each becomes '?'.
local function as_utf8(text, most)
  if #text > most and string.find(text, '[\128-\255]') then
    text = string.sub(text, 1, most) .. '... (' .. #text .. ' bytes)'
  end
  return (string.gsub(text, '[\128-\255]+', function(run)
    local clean, i = {}, 1
    while i <= #run do
      local first, second = string.byte(run, i, i + 1)
      local more = first >= 0xF5 and 0 or first >= 0xF0 and 3 or first >= 0xE0 and 2 or first >= 0xC2 and 1 or 0
      local lowest = first == 0xE0 and 0xA0 or first == 0xF0 and 0x90 or 0x80
      local highest = first == 0xED and 0x9F or first == 0xF4 and 0x8F or 0xBF
      local part = string.sub(run, i, i + more)
      if more > 0 and #part == more + 1 and second >= lowest and second <= highest
        and not string.find(part, '[\192-\255]', 2) then
        clean[#clean + 1] = part
        i = i + more + 1
      else
        clean[#clean + 1] = '?'
        i = i + 1
      end
    end
    return table.concat(clean)
  end))
end

-- Writes a job to the dead-letter queue in the very call that fails it for good, so that neither is ever without
-- the other. The letter is a plain waiting job there: every BullMQ dashboard shows it.
-- `data` and `opts` are JSON texts and go in verbatim; data that is not JSON (told.unreadable) goes in as a
-- string, and such options (told.optionless) count as none.
local function dead_letter(name, letters, id, title, reason, stack, attempts, data, opts, told)
  title = as_utf8(title, 2000)
  if told.unreadable then data = cjson.encode(as_utf8(data, 8000)) end
  if told.optionless or not next(parse(opts)) then opts = '{}' end
  local body = '{"queue":' .. cjson.encode(name) .. ',"jobId":' .. cjson.encode(as_utf8(id, 2000)) ..
    ',"name":' .. cjson.encode(title) .. ',"reason":' .. cjson.encode(reason) ..
    ',"stack":' .. stack .. ',"attempts":' .. attempts .. ',"failedAt":' .. stamp ..
    ',"data":' .. data .. ',"options":' .. opts .. '}'
  return (add_job(letters, '', title, body, '{"attempts":1}', '0', '0', false))
end
