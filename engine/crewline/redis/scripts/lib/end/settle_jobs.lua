-- @include base/own_key
-- @include base/fields
-- @include end/other_ways
-- @include end/look_at_results
-- @include end/refusal
-- @include end/complete
-- @include end/finished
-- @include place/take_from_active
-- @include place/wake_worker
-- Ends jobs whose lease the caller still holds; see finish_and_fetch for the arguments.
local function settle_jobs(offset, points)
  local count = math.floor((#ARGV - offset) / 5)
  local codes = {}
  if count == 0 then return codes end
  -- as in check_types: these are written to only here
  redis.call('ZCARD', q.completed)
  redis.call('ZCARD', q.failed)
  local locks, ids, children = {}, {}, {}
  for r = 1, count do
    ids[r] = ARGV[offset + (r - 1) * 5 + 1]
    local job = base .. ids[r]
    locks[r] = job .. ':lock'
    children[r] = job .. ':dependencies'
    children[count + r] = job .. ':unsuccessful'
  end
  local held = redis.call('MGET', unpack(locks))
  -- few jobs have children: most calls need one look for all of theirs
  read_active(ids)
  local have_children = redis.call('EXISTS', unpack(children)) > 0
  local tolds, keeps, parents, ties, reasons = look_at_results(ids, held, offset)
  local free_locks, free_ids, finished, woken, postponed, ended = {}, {}, finished_jobs(), false, false, false
  local lettered = false
  for r = 1, count do
    local at = offset + (r - 1) * 5
    local id, outcome, value, told, keep = ids[r], ARGV[at + 3], ARGV[at + 4], tolds[r], keeps[r]
    local job, parent, tied, reason = base .. id, parents[r], ties[r] or nothing, reasons[r]
    codes[r] = refusal(job, held[r], ARGV[at + 2], outcome, id, have_children)
    if codes[r] == 0 then
      free_locks[#free_locks + 1], free_ids[#free_ids + 1] = locks[r], id
      if type(parent) == 'table' then
        codes[r], outcome, told, reason = -1, 'gone', {}, nil
      elseif tied[4] then
        redis.call('HDEL', job, 'unread')
      end
      if told.suspect then other_ways().unsuspect(job) end
      if reason then
        keep = other_ways().own_retention(redis.call('HGET', job, 'opts'), told.written)
        outcome, value, told = 'failed', reason, { letter = false, trace = told.trace }
        other_ways().unsuspect(job)
      end
      if outcome == 'completed' or outcome == 'failed' then
        if told.earlier then attempt(other_ways().end_letter, ARGV[3], told.earlier) end
        if outcome == 'completed' then complete(id, job, value, parent, tied[3])
        elseif other_ways().fail(id, job, value, parent, told, ARGV[2], ARGV[3]) then lettered = true end
        end_job(finished, outcome, id, keep, tied[2])
        ended = true
      elseif outcome == 'retry' and other_ways().retry_later(id, job, value, told) == 'delayed' then
        postponed = true
      elseif outcome ~= 'gone' then
        if outcome ~= 'retry' and other_ways().hand_back(id, job, told) == 'delayed' then postponed = true
        else woken = true end
      end
    elseif told.alone and codes[r] ~= -1 then
      attempt(other_ways().take_back_crash, job, told.alone)
    end
  end

  write_active()
  store_finished(finished, points)
  if #free_ids > 0 then
    -- only now: by its lock undo_settling knows what is this worker's to put right
    redis.call('DEL', unpack(free_locks))
    redis.pcall('SREM', q.stalled, unpack(free_ids))
    redis.pcall('HDEL', own_key(q, 'cancels'), unpack(free_ids))
  end
  if lettered then attempt(other_ways().announce_letters, ARGV[3]) end
  if postponed then attempt(other_ways().mark_next_due, q, q.marker) end
  if woken then attempt(wake_worker, q, q.marker) end
  return codes, ended
end
