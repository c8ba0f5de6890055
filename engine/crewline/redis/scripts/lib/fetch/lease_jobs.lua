-- @include base/clock
-- @include base/check_types
-- @include base/fields
-- @include place/wake_worker
-- @include fetch/allowance
-- @include fetch/begin_attempt
-- @include fetch/taken
-- Leases up to `room` runnable jobs; see finish_and_fetch for what is returned.
-- What was put aside in `scores` (prioritized jobs) keeps their counter alive: it comes back.
local function take(room, prioritized, scores)
  local ids = redis.call('RPOP', q.wait, room) or {}
  taken[#taken + 1] = ids
  if #ids < room then
    local first = prioritized and redis.call('ZPOPMIN', q.prioritized, room - #ids) or {}
    if #first == 0 and not next(scores) then redis.call('DEL', q.counter) end
    for i = 1, #first, 2 do
      ids[#ids + 1] = first[i]
      scores[first[i]] = first[i + 1]
    end
  end
  return ids
end

-- Suspects that the caller has no room for go back to where they were; returns how many to each. They are announced to
-- nobody: the caller fetches again once it may take one, and others see them when they next look by time. A marker would
-- have it fetch at once, for nothing, again and again.
local function put_aside_back(aside, scores)
  local prioritized = 0
  for i = #aside, 1, -1 do
    local id = aside[i]
    if scores[id] then
      redis.call('ZADD', q.prioritized, scores[id], id)
      prioritized = prioritized + 1
    else
      redis.call('RPUSH', q.wait, id)
    end
  end
  return #aside - prioritized, prioritized
end

-- A call reads jobs whole, and Redis stands still for some 2 ms a MB of them. How large a job is shows when it is read:
-- to ask before would cost a call a job. So a fetch ends with the job that makes it so many bytes.
local MOST_READ = 200000

local function lease_jobs(token, lease_ms, worker, room, rate_max, rate_ms, again, unread_ms, suspects,
  settled, larger)
  local jobs = {}
  if again then
    -- @include fetch/note_repeat
    -- @include fetch/leased_before
    if not note_repeat(ARGV[14], again) then return jobs, 0, 0 end
    jobs = leased_before(token, lease_ms)
    if #jobs > 0 then return jobs, 0, 0 end
  end
  if room <= 0 then return jobs, 0, 0 end
  -- what was settled in this call may have gone back to wait
  local prioritized = settled or size.prioritized > 0
  local promoted = false
  if size.delayed > 0 and not larger then
    -- @include fetch/promote_due
    promoted = promote_due() > 0
    if promoted then prioritized = true end
  end
  local max = number(meta[3], 0)
  if max > 0 then rate_ms = number(meta[4], 1000) else max = rate_max end
  local used, repeated = used_of_rate(max, ARGV[14])
  if repeated and not again then
    -- its repeat was here before; whoever waits hears again of what it was told, and nobody else
    if has_runnable(q) then wake_worker(q) end
    return jobs, 0, 0
  end
  local limited
  room, limited = allowance(larger and 1 or room, meta, max, used, rate_ms)
  local aside, scores, took, more, read = {}, taken.scores, 0, false, 0
  while took < room do
    local ids, before, last = nil, #aside, nil
    if larger then
      -- @include fetch/take_larger
      ids = take_larger()
    -- those behind suspects have been looked at
    elseif before == 0 then
      ids = take(room, prioritized, scores)
    else
      -- @include fetch/take_behind
      ids, more = take_behind(room - took, put_aside_back(aside, scores))
    end
    if #ids == 0 then break end
    redis.call('LPUSH', q.active, unpack(ids))
    last = #ids
    for i = 1, #ids do
      local id, job = ids[i], base .. ids[i]
      -- where one was put aside others follow, and those are not read whole
      local told = #aside > before and redis.pcall('HMGET', job, 'suspect', 'tried', 'defa') or {}
      local passed = is_suspect(told[1], told[2], told[3])
      local fields, plain, started, unread, suspect = {}, false, false, false, false
      if not passed then fields, plain = read_job(job) end
      if plain then started = '1' else started, unread, suspect = begin_attempt(fields) end
      if passed or (started and suspect and suspects and suspects <= 0) then
        redis.call('LREM', q.active, 1, id)
        aside[#aside + 1] = id
      elseif not started then
        -- @include base/denied
        heed(fields)
        -- an id without a job (a foreign client deleted it): nothing to run, and it must not stay active
        redis.call('LREM', q.active, 1, id)
      else
        if suspect and suspects then suspects = suspects - 1 end
        redis.call('SET', job .. ':lock', token, 'PX', unread_ms or lease_ms)
        redis.call('HSET', job, 'processedOn', stamp, 'pb', worker, 'ats', started)
        if unread_ms then mark_unread(job, unread) elseif unread then redis.call('HDEL', job, 'unread') end
        redis.call('XADD', q.events, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
        if plain then
          read = read + #fields[1] + #fields[2] + #fields[3]
          fields[7] = id
        else
          for n = 2, #fields, 2 do read = read + #fields[n] end
          fields = { id, fields }
        end
        jobs[#jobs + 1] = fields
        if read >= MOST_READ then
          last = i
          break
        end
      end
    end
    took = took + last - (#aside - before)
    if read >= MOST_READ then
      -- @include fetch/leave_rest
      leave_rest(ids, last, scores)
      if before == 0 then put_aside_back(aside, scores) end
      more = has_runnable(q)
      break
    end
    if #aside == before then break end
  end
  if took > 0 then
    if max > 0 and #jobs > 0 and redis.call('INCRBY', q.limiter, #jobs) == #jobs then
      redis.call('PEXPIRE', q.limiter, math.max(rate_ms, 1))
    end
    -- less than there was room for: nothing is left but what was put aside
    if (took == room or read >= MOST_READ) and has_runnable(q) then wake_worker(q) end
  end
  -- whoever took the mark of what was due is not told here when the next is
  if promoted and (#jobs > 0 or more) then
    -- @include place/mark_next_due
    mark_next_due(q)
  end
  -- there is more than one call reads, or more behind suspects than it looks at: the caller is to come again at once
  local next_due = more and now or 0
  -- a larger worker takes nothing else that is due, and looks by time
  if not more and not larger and #jobs == 0 and (settled or size.delayed > 0) then
    local head = redis.call('ZRANGE', q.delayed, 0, 0, 'WITHSCORES')
    if head[2] then next_due = number(tonumber(head[2]) / 4096, 0) end
  end
  return jobs, next_due, limited
end
