-- @include base/clock
-- @include base/counts
-- @include base/fields
-- @include base/own_key
-- @include place/delay_job
-- @include place/push_job
-- A job that has died for want of memory waits for a larger worker: in `delayed`, where no other worker takes it and any
-- BullMQ client finds it, and in a set of our own, `larger`, whose scores say from when on such a worker may take it. Where
-- there is none within an hour it is due, and runs where any job runs: nobody loses it. The field `larger`: of what it died.

-- Milliseconds from then on until any worker takes it.
local LARGER_WITHIN = 3600000

-- Returns where it went, delayed, or wait where the set may not be written; and in how many ms it is due.
local function keep_for_larger(id, job, cause, from)
  local larger, due, went = own_key(q, 'larger'), from + LARGER_WITHIN, 'delayed'
  -- pcall: a user may have no rights there
  if type(redis.pcall('ZADD', larger, whole(from), id)) == 'number' then
    delay_job(q, id, due)
    -- what is in it for longer is none of it any more; pcall: the job has its place
    local left = redis.pcall('PTTL', larger)
    redis.pcall('PEXPIRE', larger, whole(math.max(type(left) == 'number' and left or 0, due - now)))
  else
    went, due = 'wait', now
    push_job(q, id, priority_of(job), true, 'active')
  end
  -- only now: where Redis refuses its place, it died of nothing yet
  redis.call('HSET', job, 'larger', cause, 'delay', whole(due - now))
  return went, due - now
end
