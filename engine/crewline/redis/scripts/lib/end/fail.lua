-- @include base/fields
-- @include base/queue_at
-- @include base/clock
-- @include base/carry_out
-- @include end/child_failed
-- @include end/append_trace
-- @include end/dead_letter
-- What every job goes through that fails, from whatever state. The last arguments are further fields that it gets.
local function note_failure(id, job, reason, parent, prev, ...)
  -- a parent's event precedes its child's, as in BullMQ
  if parent then carry_out(child_failed, parent, redis.call('HGET', job, 'parent'), job, reason) end
  redis.call('HSET', job, 'failedReason', reason, 'finishedOn', stamp, ...)
  redis.call('HDEL', job, 'defa')
  redis.call('XADD', q.events, '*', 'event', 'failed', 'jobId', id, 'failedReason', reason, 'prev', prev)
end

-- A job that failed for good where its worker says so; `letters` is the dead letters' base, '' for none. Returns its letter's id.
local function fail(id, job, reason, parent, told, name, letters)
  local had = redis.call('HMGET', job, 'finishedOn', 'atm', 'deadLetterId', 'stacktrace')
  -- the end was refused half-way before, and is repeated: the attempt is counted, and its letter may be written
  local again = had[1]
  local traces = again and had[4] or append_trace(job, told)
  local attempts = whole(again and number(had[2], 1) or number(had[2], 0) + 1)
  if had[3] and not again then redis.call('HDEL', job, 'deadLetterId') end
  note_failure(id, job, reason, parent, 'active', 'stacktrace', traces, 'atm', attempts)
  if told.exhausted then
    redis.call('XADD', q.events, '*', 'event', 'retries-exhausted', 'jobId', id, 'attemptsMade', attempts)
  end
  if letters ~= '' and told.letter ~= false and not (again and had[3]) then
    local origin = redis.call('HMGET', job, 'name', 'data', 'opts')
    -- a foreign client's that has none, or an empty text: {}, as its handler was told
    local data = origin[2] and origin[2] ~= '' and origin[2] or '{}'
    local written, letter = pcall(dead_letter, name, queue_at(letters), id, origin[1] or '', reason, traces, attempts,
      data, origin[3], told)
    if written then
      redis.call('HSET', job, 'deadLetterId', letter)
      return letter
    end
    -- a key of another type, or one that this user may not write: the job ends all the same, and says so
    local why = type(letter) == 'table' and letter.err or letter
    redis.call('HSET', job, 'deadLetterError', string.sub(tostring(why), 1, 200))
  end
end
