-- @include base/clock
-- @include place/push_job
-- What becomes of an id without a lock: unbegun, lost, gone (it is no job), seen, or young. `told`: name, processedOn,
-- unread, crashes and alone of its job.
local function verdict_on(id, told, lease, once)
  local began = told[1] and number(told[2], nil)
  if began and began + lease > now then
    local times, start = string.match(told[3] or '', '^(%d+):(%d+)$')
    return start == told[2] and tonumber(times) <= 2 and 'unbegun' or 'young'
  end
  if (began and once) or redis.call('SISMEMBER', q.stalled, id) == 1 then return told[1] and 'lost' or 'gone' end
  return 'seen'
end

-- A job that lost its worker: a suspect from now on, before its equals. Returns whether the next fetch fails it.
local function put_back(id, job, told, most)
  increment(job, 'stc')
  increment(job, 'suspect')
  local crashes = number(told[4], 0)
  if told[5] then crashes = increment(job, 'crashes') end
  redis.call('HDEL', job, 'alone', 'unread')
  local dooms = crashes >= most
  if dooms then redis.call('HSET', job, 'defa', 'job took its worker down ' .. crashes .. ' times') end
  push_job(q, id, priority_of(job), true, 'active')
  redis.call('XADD', q.events, '*', 'event', 'stalled', 'jobId', id)
  return dooms
end
