-- @include place/push_job
-- Makes a finished job runnable again; its parent waits for it again.
local function rerun_job(id, prev, fresh, lifo)
  local job = base .. id
  redis.call('HDEL', job, 'finishedOn', 'processedOn', 'failedReason', 'returnvalue', 'defa', 'crashes', 'suspect',
    'tried', 'alone', 'blamed')
  if fresh then redis.call('HDEL', job, 'atm', 'ats', 'stc') end
  local parent = redis.call('HGET', job, 'parentKey')
  if parent and redis.call('EXISTS', parent) == 1 then
    local unsuccessful = redis.call('ZREM', parent .. ':unsuccessful', job)
    if unsuccessful + redis.call('HDEL', parent .. ':processed', job) + redis.call('HDEL', parent .. ':failed', job) > 0
    then
      redis.call('SADD', parent .. ':dependencies', job)
    end
  end
  local priority = priority_of(job)
  push_job(q, id, priority, lifo_place(lifo, priority), prev)
end
