-- @include base/counts
-- @include base/denied
-- @include base/fields
-- @include place/push_job
-- A start that was none: the job is as it was before the fetch.
local function give_start_back(job)
  local started = number(heed(redis.pcall('HGET', job, 'ats')), 0) - 1
  if started > 0 then redis.call('HSET', job, 'ats', whole(started))
  else redis.call('HDEL', job, 'ats', 'processedOn', 'pb') end
end

-- A job that its worker gives back: it runs next, and neither an attempt nor a start was used up. Unless the process
-- that ran it alone died (told.crashed): that start counts, and against it. A suspect that raised in such a process,
-- which lived on, has been tried (told.tried): it runs as any other until one more of its workers dies.
local function hand_back(id, job, told)
  push_job(q, id, priority_of(job), true, 'active')
  if told.crashed then increment(job, 'crashes') else give_start_back(job) end
  local suspect = told.tried and redis.call('HGET', job, 'suspect')
  if suspect then redis.call('HSET', job, 'tried', whole(number(suspect, 1))) end
  redis.call('HDEL', job, 'alone', 'unread')
end
