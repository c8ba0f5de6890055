-- @include base/clock
-- @include base/counts
-- @include base/denied
-- @include base/fields
-- @include place/keep_for_larger
-- @include place/push_job
-- A start that was none: the job is as it was before the fetch.
local function give_start_back(job)
  local started = number(heed(redis.pcall('HGET', job, 'ats')), 0) - 1
  if started > 0 then redis.call('HSET', job, 'ats', whole(started))
  else redis.call('HDEL', job, 'ats', 'processedOn', 'pb') end
end

-- A job that its worker gives back: it runs next, and neither an attempt nor a start was used up. Unless the process
-- that ran it alone died (told.crashed): that start counts, and against it. A suspect that raised in such a process,
-- which lived on, has been tried (told.tried): it runs as any other until one more of its workers dies. One that died for
-- want of memory (told.outgrown: just now), and whose place is with a larger worker since (told.larger), waits for one.
-- Returns where it went: wait, or delayed.
local function hand_back(id, job, told)
  local went = 'wait'
  if told.larger then went = keep_for_larger(id, job, told.larger, now)
  else push_job(q, id, priority_of(job), true, 'active') end
  if told.crashed then
    increment(job, 'crashes')
  elseif told.outgrown then
    increment(job, 'suspect')
    redis.call('HSET', job, 'failedReason', told.larger)
  else
    give_start_back(job)
  end
  local suspect = told.tried and redis.call('HGET', job, 'suspect')
  if suspect then redis.call('HSET', job, 'tried', whole(number(suspect, 1))) end
  redis.call('HDEL', job, 'alone', 'unread')
  return went
end
