-- @include base/clock
-- @include base/own_key
-- @include base/parse
-- @include base/fields
-- @include forget/forget_jobs
-- @include place/mark_next_due
-- What is decided of the runs of one object, in a hash of ours: each run is a job `<uid>-<when it is due>`.
-- `decided`: no run up to then is added any more. `ahead`: the one run that lies ahead, in `delayed`. `begun`: one that was
-- ahead and left `delayed` before its time: somebody let it run, or deleted it, and which of both can't be told later.
local runs = own_key(q, 'runs')

-- Whatever is there that is none of ours says nothing.
local function read_runs(uid)
  local told = parse(redis.call('HGET', runs, uid))
  local decided, ahead = number(told.decided, 0), number(told.ahead, nil)
  local state = { decided = decided, begun = number(told.begun, nil), job = told.job }
  if ahead and ahead <= now then state.decided = math.max(decided, ahead) else state.ahead = ahead end
  return state
end

-- Takes back the run that lies ahead, where it has not begun.
local function take_back(uid, state)
  local id = uid .. '-' .. whole(state.ahead)
  if redis.call('ZREM', q.delayed, id) == 1 then
    redis.call('XADD', q.events, '*', 'event', 'removed', 'jobId', id, 'prev', 'delayed')
    forget_jobs(q, { id }, 'free')
    mark_next_due(q)
  else
    state.begun = state.ahead
  end
  state.ahead = nil
end

local function write_runs(uid, state, told)
  told.decided = whole(state.decided)
  told.ahead = state.ahead and whole(state.ahead)
  told.begun = state.begun and state.begun > state.decided and whole(state.begun) or nil
  told.job = state.job
  redis.call('HSET', runs, uid, cjson.encode(told))
end
