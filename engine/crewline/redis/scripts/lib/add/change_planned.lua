-- @include base/parse
-- @include base/fields
-- An iteration that is planned already gets other options; what tells which one it is stays.
local function change_options(job, opts)
  local planned = parse(redis.call('HGET', job, 'opts') or '')
  for _, own in ipairs({ 'jobId', 'prevMillis', 'delay', 'timestamp', 'repeat', 'repeatJobKey' }) do
    opts[own] = planned[own]
  end
  local priority = math.min(math.max(number(opts.priority, 0), 0), 2097151)
  redis.call('HSET', job, 'opts', cjson.encode(opts), 'priority', whole(priority))
end
