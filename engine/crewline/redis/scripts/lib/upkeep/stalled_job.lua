-- @include base/clock
-- @include base/counts
-- @include base/fields
-- @include end/condemn
-- @include place/keep_for_larger
-- @include place/push_job
-- Whether nobody has read of a start: the mark names it, and is believed twice in a row.
local function is_unread(told)
  local times, start = string.match(told[3] or '', '^(%d+):(%d+)$')
  return start ~= nil and start == told[2] and tonumber(times) <= 2
end

-- What becomes of an id without a lock: unbegun, lost, gone (it is no job), seen, or young. `told`: name, processedOn,
-- unread, crashes, alone, ats and larger of its job.
local function verdict_on(id, told, lease, once)
  local began = told[1] and number(told[2], nil)
  -- by a clock that is ahead: nobody knows when
  if began and began > now then began = nil end
  local unread = began and is_unread(told)
  if began and began + lease > now then return unread and 'unbegun' or 'young' end
  if not (began and once) and redis.call('SISMEMBER', q.stalled, id) == 0 then return 'seen' end
  return unread and 'unbegun' or told[1] and 'lost' or 'gone'
end

-- A job that lost its worker: a suspect from now on, before its equals. `told.most` is in the place of `most`, if it is
-- there. One that died for want of memory (`told.outgrown`: of what), or had before, waits for a larger worker. Returns
-- whether the next fetch fails it.
local function put_back(id, job, told, most)
  local blamed = told[5] and not told.outgrown
  local crashes, larger = number(told[4], 0) + (blamed and 1 or 0), told.outgrown or told[7]
  local dooms = crashes >= (told.most or most)
  if larger and not dooms then keep_for_larger(id, job, larger, now)
  else push_job(q, id, priority_of(job), true, 'active') end
  increment(job, 'stc')
  increment(job, 'suspect')
  if blamed then
    crashes = increment(job, 'crashes')
    -- the start that is blamed: whoever ran it may only have stood still
    redis.call('HSET', job, 'blamed', (told[6] or '') .. ':' .. (told[2] or ''))
  end
  redis.call('HDEL', job, 'alone', 'unread')
  if dooms then redis.call('HSET', job, 'defa', condemnation(crashes)) end
  redis.call('XADD', q.events, '*', 'event', 'stalled', 'jobId', id)
  return dooms
end
