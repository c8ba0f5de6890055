-- @include base/clock
-- @include place/push_job
-- @include place/promote_due
-- Leases up to `room` runnable jobs; see finish_and_fetch for what is returned.

-- Counts one more attempt in a job's hash as it was read; false if that is no job (a name is all that one needs).
local function begin_attempt(fields)
  local named, place = false, #fields + 1
  for i = 1, #fields, 2 do
    if fields[i] == 'name' then named = true elseif fields[i] == 'ats' then place = i end
  end
  if not named then return false end
  local started = counted(fields[place + 1])
  fields[place], fields[place + 1] = 'ats', started
  return started
end

-- What of the rate is used up. What is no counter is taken away: INCRBY would raise when jobs are leased already.
local function used_of_rate()
  local used = redis.pcall('GET', q.limiter)
  if type(used) == 'string' and #used < 17 and string.find(used, '^%-?%d+$') then return tonumber(used) end
  if used then redis.call('DEL', q.limiter) end
  return 0
end

-- How many jobs the queue's own limits allow now, and for how many milliseconds the rate limit holds.
-- The queue's rate (meta) goes before the worker's.
local function allowance(room, held, max)
  if held[1] then return 0, 0 end
  if held[2] then room = math.min(room, number(held[2], room) - redis.call('LLEN', q.active)) end
  local used = used_of_rate()
  if room > 0 and used > 0 then
    -- a limit that a client has set by hand holds whatever the rate: 2^53 - 1
    local left = room
    if used >= 9007199254740991 then left = 0 elseif max > 0 then left = max - used end
    local ttl = redis.call('PTTL', q.limiter)
    -- as in BullMQ, a window without an end limits nothing
    if ttl < 0 then return room, 0 end
    if left <= 0 then return 0, math.max(ttl, 1) end
    room = math.min(room, left)
  elseif max > 0 then
    room = math.min(room, max)
  end
  return room, 0
end

local function take(room, prioritized)
  local ids = redis.call('RPOP', q.wait, room) or {}
  if #ids < room then
    local first = prioritized and redis.call('ZPOPMIN', q.prioritized, room - #ids) or {}
    if #first == 0 then redis.call('DEL', q.counter) end
    for i = 1, #first, 2 do ids[#ids + 1] = first[i] end
  end
  return ids
end

-- What a call with this token has leased: its answer was lost, and nobody else knows of these jobs. They are the
-- newest in `active`; what is not among the first 1,000 any more comes back when its lease ends.
local function leased_before(token, lease_ms)
  local jobs, locks, ids = {}, {}, redis.call('LRANGE', q.active, 0, 999)
  for i = 1, #ids do locks[i] = base .. ids[i] .. ':lock' end
  local held = #ids > 0 and redis.call('MGET', unpack(locks)) or {}
  for i = #ids, 1, -1 do
    if held[i] == token then
      redis.call('PEXPIRE', locks[i], lease_ms)
      jobs[#jobs + 1] = { ids[i], redis.call('HGETALL', base .. ids[i]) }
    end
  end
  if #jobs > 0 and has_runnable(q) then wake_worker(q) end
  return jobs
end

local function lease_jobs(token, lease_ms, worker, room, rate_max, rate_ms, again, settled)
  local jobs = again and leased_before(token, lease_ms) or {}
  if #jobs > 0 then return jobs, 0, 0 end
  if room <= 0 then
    -- a worker that finishes and does not fetch leaves a place under a global limit: others must hear of it
    if meta[2] and has_runnable(q) then wake_worker(q) end
    return jobs, 0, 0
  end
  -- what was settled in this call may have gone back to wait
  local prioritized = settled or size.prioritized > 0
  if size.delayed > 0 and promote_due() > 0 then prioritized = true end
  local max = number(meta[3], 0)
  if max > 0 then rate_ms = number(meta[4], 1000) else max = rate_max end
  local limited
  room, limited = allowance(room, meta, max)
  local ids = room > 0 and take(room, prioritized) or {}
  if #ids > 0 then
    redis.call('LPUSH', q.active, unpack(ids))
    for i = 1, #ids do
      local id, job = ids[i], base .. ids[i]
      -- pcall: the key may be anything, and one id must not hold up the rest
      local fields = redis.pcall('HGETALL', job)
      local started = begin_attempt(fields)
      if started then
        redis.call('SET', job .. ':lock', token, 'PX', lease_ms)
        redis.call('HSET', job, 'processedOn', stamp, 'pb', worker, 'ats', started)
        redis.call('XADD', q.events, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
        jobs[#jobs + 1] = { id, fields }
      else
        -- an id without a job (a foreign client deleted it): nothing to run, and it must not stay active
        redis.call('LREM', q.active, 1, id)
      end
    end
    if max > 0 and #jobs > 0 and redis.call('INCRBY', q.limiter, #jobs) == #jobs then
      redis.call('PEXPIRE', q.limiter, math.max(rate_ms, 1))
    end
    -- less than there was room for: nothing is left
    if #ids == room and has_runnable(q) then wake_worker(q) end
  end
  local next_due = 0
  if #jobs == 0 and (settled or size.delayed > 0) then
    local head = redis.call('ZRANGE', q.delayed, 0, 0, 'WITHSCORES')
    if head[2] then next_due = number(tonumber(head[2]) / 4096, 0) end
  end
  return jobs, next_due, limited
end
