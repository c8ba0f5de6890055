-- Ends jobs whose lease the caller still holds; see finish_and_fetch for the arguments.
local function append_trace(job, trace, limit)
  local kept = redis.call('HGET', job, 'stacktrace')
  local ok, traces = pcall(cjson.decode, kept or '[]')
  if not ok or type(traces) ~= 'table' then traces = {} end
  traces[#traces + 1] = trace
  while #traces > limit do table.remove(traces, 1) end
  if #traces == 0 then return '[]' end
  return cjson.encode(traces)
end

local function settle_jobs(offset)
  local count = math.floor((#ARGV - offset) / 9)
  local codes = {}
  if count == 0 then return codes end
  local locks, ids = {}, {}
  for r = 1, count do
    ids[r] = ARGV[offset + (r - 1) * 9 + 1]
    locks[r] = base .. ids[r] .. ':lock'
  end
  local held = redis.call('MGET', unpack(locks))
  local done, dead, released, policies = {}, {}, {}, {}
  local stamp, woken, postponed = string.format('%.0f', now), false, false

  for r = 1, count do
    local at = offset + (r - 1) * 9
    local id, outcome, value = ids[r], ARGV[at + 3], ARGV[at + 4]
    local job = base .. id
    local code = 0
    if held[r] ~= ARGV[at + 2] then
      if redis.call('EXISTS', job) == 0 then code = -1 else code = held[r] and -6 or -2 end
    elseif outcome == 'completed' and redis.call('EXISTS', job .. ':dependencies') == 1 then
      code = -4
    elseif outcome == 'completed' and redis.call('EXISTS', job .. ':unsuccessful') == 1 then
      code = -9
    elseif redis.call('LREM', k_active, -1, id) == 0 then
      code = -3
    end
    if code == 0 then
      released[#released + 1] = r
      local keep = ARGV[at + 8]
      if outcome == 'completed' then
        redis.call('XADD', k_events, '*', 'event', 'completed', 'jobId', id, 'returnvalue', value, 'prev', 'active')
        if keep == '0' then
          delete_jobs(base, { id })
        else
          increment(job, 'atm')
          redis.call('HSET', job, 'returnvalue', value, 'finishedOn', stamp)
          done[#done + 1] = stamp
          done[#done + 1] = id
          if keep ~= '' then policies[keep .. ',c'] = true end
        end
      elseif outcome == 'failed' then
        local traces = '[]'
        if ARGV[at + 5] ~= '' then traces = append_trace(job, ARGV[at + 5], tonumber(ARGV[at + 6])) end
        local attempts = increment(job, 'atm')
        redis.call('HSET', job, 'failedReason', value, 'stacktrace', traces, 'finishedOn', stamp)
        redis.call('HDEL', job, 'defa')
        redis.call('XADD', k_events, '*', 'event', 'failed', 'jobId', id, 'failedReason', value, 'prev', 'active')
        if string.find(ARGV[at + 9], 'e', 1, true) then
          redis.call('XADD', k_events, '*', 'event', 'retries-exhausted', 'jobId', id, 'attemptsMade', attempts)
        end
        if ARGV[3] ~= '' then
          local origin = redis.call('HMGET', job, 'name', 'data', 'opts')
          local letter = dead_letter(ARGV[2], ARGV[3], id, origin[1] or '', value, traces, attempts, now,
            origin[2] or 'null', origin[3] or '{}', string.find(ARGV[at + 9], 'u', 1, true) ~= nil)
          redis.call('HSET', job, 'deadLetterId', letter)
        end
        if keep == '0' then
          delete_jobs(base, { id })
        else
          dead[#dead + 1] = stamp
          dead[#dead + 1] = id
          if keep ~= '' then policies[keep .. ',f'] = true end
        end
      elseif outcome == 'retry' then
        local delay = tonumber(ARGV[at + 7])
        increment(job, 'atm')
        redis.call('HSET', job, 'failedReason', value, 'stacktrace', append_trace(job, ARGV[at + 5], tonumber(ARGV[at + 6])),
          'delay', string.format('%.0f', delay))
        if delay > 0 then
          delay_job(k_delayed, id, now + delay)
          redis.call('XADD', k_events, '*', 'event', 'delayed', 'jobId', id, 'delay', string.format('%.0f', now + delay))
          postponed = true
        else
          push_job(k_wait, k_prioritized, k_counter, id, priority_of(job), false)
          redis.call('XADD', k_events, '*', 'event', 'waiting', 'jobId', id, 'prev', 'active')
          woken = true
        end
      else
        push_job(k_wait, k_prioritized, k_counter, id, priority_of(job), true)
        redis.call('XADD', k_events, '*', 'event', 'waiting', 'jobId', id, 'prev', 'active')
        woken = true
      end
    end
    codes[r] = code
  end

  if #released > 0 then
    local freed_locks, freed_ids = {}, {}
    for i = 1, #released do
      freed_locks[i], freed_ids[i] = locks[released[i]], ids[released[i]]
    end
    redis.call('DEL', unpack(freed_locks))
    redis.call('SREM', k_stalled, unpack(freed_ids))
  end
  if #done > 0 then redis.call('ZADD', k_completed, unpack(done)) end
  if #dead > 0 then redis.call('ZADD', k_failed, unpack(dead)) end
  for policy in pairs(policies) do
    local most, age, state = string.match(policy, '^([^,]*),([^,]*),(.)$')
    retain_jobs(base, state == 'c' and k_completed or k_failed, now, most, age)
  end
  if postponed then mark_next_due(k_delayed, k_marker) end
  if woken then wake_worker(k_meta, k_active, k_marker) end
  return codes
end
