-- @include end/check_dedup
-- @include end/check_parent
-- Raises, before anything has changed, where Redis does not let its user do all that a job's end means to others: its
-- parent, and who comes with its deduplication id. Returns true.
local function check_end(job, parent, dedup_id)
  if parent then check_parent(parent, redis.call('HGET', job, 'parent')) end
  if dedup_id then check_dedup(q, dedup_id) end
  return true
end

local function check_end_of(job)
  return check_end(job, unpack(redis.call('HMGET', job, 'parentKey', 'deid')))
end
