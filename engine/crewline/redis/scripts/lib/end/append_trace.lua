-- @include base/fields
-- @include base/parse
-- A job's stack traces with the newest, as JSON; the oldest go where there are more than `told.traces`. The newest is
-- JSON already: it may be long, and is put in as it is. What is no list of texts (a foreign client's) counts as none.
local function append_trace(job, told)
  local most, had, traces = number(told.traces, 10), redis.call('HGET', job, 'stacktrace'), {}
  for _, trace in ipairs(had and had ~= '[]' and parse(had) or traces) do
    if type(trace) == 'string' then traces[#traces + 1] = trace end
  end
  while #traces > math.max(most - (told.trace and 1 or 0), 0) do table.remove(traces, 1) end
  local newest = told.trace and most > 0 and told.trace or ''
  if #traces == 0 then return '[' .. newest .. ']' end
  return string.sub(cjson.encode(traces), 1, -2) .. (newest == '' and '' or ',') .. newest .. ']'
end
