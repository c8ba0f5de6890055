-- Ends jobs whose lease the caller still holds; see finish_and_fetch for the arguments.
local function append_trace(job, trace, limit)
  local traces = parse(redis.call('HGET', job, 'stacktrace'))
  if trace ~= '' then traces[#traces + 1] = trace end
  while #traces > limit do table.remove(traces, 1) end
  if #traces == 0 then return '[]' end
  return cjson.encode(traces)
end

local function refusal(job, held, token, outcome, id, parents)
  if held ~= token then
    if redis.call('EXISTS', job) == 0 then return -1 end
    return held and -6 or -2
  end
  if parents and outcome == 'completed' and redis.call('EXISTS', job .. ':dependencies', job .. ':unsuccessful') > 0 then
    return redis.call('EXISTS', job .. ':dependencies') == 1 and -4 or -9
  end
  if redis.call('LREM', q.active, -1, id) == 0 then return -3 end
  return 0
end

-- What a result says beyond its value: trace, traces, delay, keep, flags.
local function details(outcome, more)
  if outcome == 'completed' then
    if more == '' then return '', 0, 0, '', '' end
    local keep, flags = string.match(more, '^([^;]*);?(.*)$')
    return '', 0, 0, keep, flags
  end
  return unpack(cjson.decode(more))
end

local function settle_jobs(offset, points)
  local count = math.floor((#ARGV - offset) / 5)
  local codes = {}
  if count == 0 then return codes end
  -- as in check_types: these are written to only here
  redis.call('ZCARD', q.completed)
  redis.call('ZCARD', q.failed)
  local locks, ids = {}, {}
  for r = 1, count do
    ids[r] = ARGV[offset + (r - 1) * 5 + 1]
    locks[r] = base .. ids[r] .. ':lock'
  end
  local held = redis.call('MGET', unpack(locks))
  -- few jobs have children: most calls need one look for all of theirs
  local children = {}
  for r = 1, count do
    children[r] = base .. ids[r] .. ':dependencies'
    children[count + r] = base .. ids[r] .. ':unsuccessful'
  end
  local parents = redis.call('EXISTS', unpack(children)) > 0
  local done, dead, released, policies, woken, postponed, ended = {}, {}, {}, {}, false, false, false

  local function keep_finished(list, state, id, keep)
    if keep == '0' then
      delete_jobs(base, { id })
    else
      list[#list + 1] = stamp
      list[#list + 1] = id
      if keep ~= '' then policies[keep .. ',' .. state] = true end
    end
  end

  for r = 1, count do
    local at = offset + (r - 1) * 5
    local id, outcome, value = ids[r], ARGV[at + 3], ARGV[at + 4]
    local trace, traces_kept, delay, keep, flags = details(outcome, ARGV[at + 5])
    local job = base .. id
    codes[r] = refusal(job, held[r], ARGV[at + 2], outcome, id, parents)
    if codes[r] == 0 then
      released[#released + 1] = r
      local links = redis.call('HMGET', job, 'parentKey', 'parent', 'deid', 'atm')
      if string.find(flags, 's', 1, true) then redis.call('HDEL', job, 'suspect', 'alone') end
      if outcome == 'completed' then
        -- a parent's event precedes its child's, as in BullMQ
        if links[1] then attempt(child_completed, links[1], links[2], job, value) end
        redis.call('XADD', q.events, '*', 'event', 'completed', 'jobId', id, 'returnvalue', value, 'prev', 'active')
        redis.call('HSET', job, 'returnvalue', value, 'finishedOn', stamp, 'atm', counted(links[4]))
        keep_finished(done, 'c', id, keep)
      elseif outcome == 'failed' then
        if links[1] then attempt(child_failed, links[1], links[2], job, value) end
        local traces = append_trace(job, trace, traces_kept)
        local attempts = increment(job, 'atm')
        redis.call('HSET', job, 'failedReason', value, 'stacktrace', traces, 'finishedOn', stamp)
        redis.call('HDEL', job, 'defa')
        redis.call('XADD', q.events, '*', 'event', 'failed', 'jobId', id, 'failedReason', value, 'prev', 'active')
        if string.find(flags, 'e', 1, true) then
          redis.call('XADD', q.events, '*', 'event', 'retries-exhausted', 'jobId', id, 'attemptsMade', attempts)
        end
        if ARGV[3] ~= '' and not string.find(flags, 'n', 1, true) then
          local origin = redis.call('HMGET', job, 'name', 'data', 'opts')
          local letter = attempt(dead_letter, ARGV[2], queue_at(ARGV[3]), id, origin[1] or '', value, traces, attempts,
            origin[2] or 'null', origin[3], flags)
          if letter then redis.call('HSET', job, 'deadLetterId', letter) end
        end
        keep_finished(dead, 'f', id, keep)
      elseif outcome == 'retry' then
        increment(job, 'atm')
        redis.call('HSET', job, 'failedReason', value, 'stacktrace',
          append_trace(job, trace, traces_kept), 'delay', whole(delay))
        if delay > 0 then
          delay_job(q, id, now + delay)
          postponed = true
        else
          local priority = priority_of(job)
          push_job(q, id, priority, lifo_place(string.find(flags, 'l', 1, true) ~= nil, priority), 'active')
          woken = true
        end
      else
        push_job(q, id, priority_of(job), true, 'active')
        woken = true
      end
      ended = ended or outcome == 'completed' or outcome == 'failed'
      if links[3] and (outcome == 'completed' or outcome == 'failed') then
        attempt(release_dedup, q, id, links[3])
        attempt(add_kept_last, links[3])
      end
    end
  end

  if #released > 0 then
    local freed_locks, freed_ids = {}, {}
    for i = 1, #released do
      freed_locks[i], freed_ids[i] = locks[released[i]], ids[released[i]]
    end
    redis.call('DEL', unpack(freed_locks))
    redis.pcall('SREM', q.stalled, unpack(freed_ids))
  end
  if #done > 0 then redis.call('ZADD', q.completed, unpack(done)) end
  if #dead > 0 then redis.call('ZADD', q.failed, unpack(dead)) end
  if points > 0 then
    if #done > 0 then count_metrics('completed', #done / 2, points) end
    if #dead > 0 then count_metrics('failed', #dead / 2, points) end
  end
  for policy in pairs(policies) do
    local most, age, state = string.match(policy, '^([^,]*),([^,]*),(.)$')
    retain_jobs(state == 'c' and q.completed or q.failed, most, age)
  end
  if postponed then mark_next_due(q) end
  if woken then wake_worker(q) end
  return codes, ended
end
