-- Leases up to `room` runnable jobs; see finish_and_fetch for what is returned.
local FIELDS = { 'name', 'data', 'opts', 'timestamp', 'delay', 'priority', 'atm', 'ats', 'stc', 'defa',
  'parentKey', 'rjk', 'deid', 'progress', 'processedOn' }

-- How many jobs the queue's own limits allow now, and for how many milliseconds the rate limit holds.
local function allowance(room, held)
  if held[1] then return 0, 0 end
  if held[2] then
    room = math.min(room, number(held[2], room) - redis.call('LLEN', k_active))
  end
  local used = redis.call('GET', k_limiter)
  if used and room > 0 then
    -- without a rate in `meta` the counter is a limit that a client has set by hand: nothing runs till it ends
    local left = number(held[3], 0) > 0 and (number(held[3], 0) - (tonumber(used) or 0))
      or ((tonumber(used) or 0) >= 9007199254740991 and 0 or room)
    if left <= 0 then return 0, math.max(redis.call('PTTL', k_limiter), 1) end
    room = math.min(room, left)
  elseif number(held[3], 0) > 0 and room > 0 then
    room = math.min(room, number(held[3], 0))
  end
  return room, 0
end

local function lease_jobs(token, lease_ms, worker, room)
  local jobs = {}
  if room <= 0 then
    -- a worker that finishes and does not fetch leaves a place under a global limit: others must hear of it
    if redis.call('HEXISTS', k_meta, 'concurrency') == 1
      and redis.call('LLEN', k_wait) + redis.call('ZCARD', k_prioritized) > 0 then
      wake_worker(k_meta, k_active, k_marker)
    end
    return jobs, 0, 0
  end
  promote_due(now)
  local held = redis.call('HMGET', k_meta, 'paused', 'concurrency', 'max', 'duration')
  local limited
  room, limited = allowance(room, held)
  if room > 0 then
    local ids = redis.call('RPOP', k_wait, room) or {}
    if #ids < room then
      local first = redis.call('ZPOPMIN', k_prioritized, room - #ids)
      if #first == 0 then
        redis.call('DEL', k_counter)
      else
        for i = 1, #first, 2 do ids[#ids + 1] = first[i] end
      end
    end
    if #ids > 0 then
      redis.call('LPUSH', k_active, unpack(ids))
      local stamp = string.format('%.0f', now)
      for i = 1, #ids do
        local id, job = ids[i], base .. ids[i]
        -- pcall: the key may be anything, and one id must not hold up the rest
        local values = redis.pcall('HMGET', job, unpack(FIELDS))
        if values[1] then
          values[8] = number(values[8], 0) + 1
          redis.call('SET', job .. ':lock', token, 'PX', lease_ms)
          redis.call('HSET', job, 'processedOn', stamp, 'pb', worker, 'ats', values[8])
          redis.call('XADD', k_events, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
          jobs[#jobs + 1] = { id, values }
        else
          -- an id without a job (a foreign client deleted it): nothing to run, and it must not stay active
          redis.call('LREM', k_active, 1, id)
        end
      end
      if number(held[3], 0) > 0 and #jobs > 0 then
        if redis.call('INCRBY', k_limiter, #jobs) == #jobs then
          redis.call('PEXPIRE', k_limiter, math.max(number(held[4], 1000), 1))
        end
      end
      if redis.call('LLEN', k_wait) + redis.call('ZCARD', k_prioritized) > 0 then
        wake_worker(k_meta, k_active, k_marker)
      end
    end
  end
  local next_due = 0
  if #jobs == 0 then
    local head = redis.call('ZRANGE', k_delayed, 0, 0, 'WITHSCORES')
    if head[2] then next_due = math.floor(tonumber(head[2]) / 4096) end
  end
  return jobs, next_due, limited
end
