-- A job's stack traces with the newest, as JSON; the oldest go where there are more than `told.traces`.
local function append_trace(job, told)
  local traces = parse(redis.call('HGET', job, 'stacktrace'))
  if told.trace and told.trace ~= '' then traces[#traces + 1] = told.trace end
  while #traces > number(told.traces, 10) do table.remove(traces, 1) end
  if #traces == 0 then return '[]' end
  return cjson.encode(traces)
end
