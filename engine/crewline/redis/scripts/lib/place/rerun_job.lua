-- @include base/counts
-- @include base/fields
-- @include place/forget_end
-- @include place/push_job
-- @include place/unsuspect
-- A parent waits again for a child that runs again.
local function wait_again(parent, job)
  if redis.call('EXISTS', parent) == 0 then return end
  if forget_end(parent, job) > 0 then redis.call('SADD', parent .. ':dependencies', job) end
end

-- Makes a finished job runnable again; its parent waits for it again. The job's key is a hash.
local function rerun_job(id, prev, fresh, lifo)
  local job = base .. id
  unsuspect(job)
  local parent, priority = redis.call('HGET', job, 'parentKey'), priority_of(job)
  push_job(q, id, priority, lifo_place(lifo, priority), prev)
  -- one that was refused its place has still ended as it had
  redis.call('HDEL', job, 'finishedOn', 'processedOn', 'failedReason', 'returnvalue', 'defa', 'deadLetterError')
  if fresh then redis.call('HDEL', job, 'atm', 'ats', 'stc') end
  -- keys of the parent's may be of another type, or not allowed
  if parent then attempt(wait_again, parent, job) end
end
