-- @include base/counts
-- @include place/push_job
-- Puts a job where it runs from that was taken out of `delayed`. An id without a job (a foreign client deleted it, or it
-- never was one) has nothing to run; to write to it would make a hash of which nobody knows.
local function promote(id)
  local job = base .. id
  if redis.call('TYPE', job).ok ~= 'hash' then return end
  push_job(q, id, priority_of(job), false, 'delayed')
  redis.call('HSET', job, 'delay', '0')
end
