-- @include base/clock
-- @include base/own_key
-- @include base/parse
-- @include base/fields
-- @include forget/forget_jobs
-- @include place/mark_next_due
-- What is decided of the runs of one object, in a hash of ours: each run is a job `<uid>-<when it is due>`.
-- `decided`: no run up to then is added any more. `ahead`: the one run that lies ahead, in `delayed`.
local runs = own_key(q, 'runs')

-- Whatever is there that is none of ours says nothing.
local function read_runs(uid)
  local told = parse(redis.call('HGET', runs, uid))
  local decided, ahead = number(told.decided, 0), number(told.ahead, nil)
  if ahead and ahead <= now then return { decided = math.max(decided, ahead), job = told.job } end
  return { decided = decided, ahead = ahead, job = told.job }
end

-- Takes back the run that lies ahead. One that somebody let run before its time is decided; one that is gone never ran.
local function take_back(uid, state)
  local id = uid .. '-' .. whole(state.ahead)
  if redis.call('ZREM', q.delayed, id) == 1 then
    redis.call('XADD', q.events, '*', 'event', 'removed', 'jobId', id, 'prev', 'delayed')
    forget_jobs(q, { id }, true)
    mark_next_due(q)
  elseif redis.call('EXISTS', base .. id) == 1 then
    state.decided = state.ahead
  end
  state.ahead = nil
end

local function write_runs(uid, state, told)
  told.decided = whole(state.decided)
  told.ahead = state.ahead and whole(state.ahead)
  told.job = state.job
  redis.call('HSET', runs, uid, cjson.encode(told))
end
