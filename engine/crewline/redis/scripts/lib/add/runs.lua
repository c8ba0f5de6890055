-- @include base/clock
-- @include base/own_key
-- @include base/parse
-- @include base/fields
-- @include forget/check_forget
-- @include forget/forget_jobs
-- @include place/mark_next_due
-- @include place/moving
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

-- The run that lies ahead is not to run any more: returns its id and its place in `delayed`, from where it is to be taken;
-- nil if it has begun.
local function leave_ahead(uid, state)
  local id = state.ahead and uid .. '-' .. whole(state.ahead)
  local score = id and redis.call('ZSCORE', q.delayed, id)
  if id and not score then state.begun = state.ahead end
  state.ahead = nil
  if score then return id, score end
end

-- Takes it out of `delayed`, for a step that deletes it, or puts another in its place.
local function instead_of(id, score, step)
  -- who may not put it back is refused here, where nothing has changed
  redis.call('EXISTS', base .. id)
  redis.call('ZADD', q.delayed, score, id)
  return moving(q, { id }, function() return { 'ZADD', q.delayed, score, id } end, function()
    redis.call('ZREM', q.delayed, id)
    return step()
  end)
end

local function take_back(id, score)
  instead_of(id, score, function() forget_jobs(q, { id }, true) end)
  -- what is due next may be told too early
  pcall(mark_next_due, q)
  redis.pcall('XADD', q.events, '*', 'event', 'removed', 'jobId', id, 'prev', 'delayed')
end

local function write_runs(uid, state, told)
  told.decided = whole(state.decided)
  told.ahead = state.ahead and whole(state.ahead)
  told.begun = state.begun and state.begun > state.decided and whole(state.begun) or nil
  told.job = state.job
  redis.call('HSET', runs, uid, cjson.encode(told))
end

-- Carries out a step after what it decides was written (`write`): what is decided and done can't part, since where Redis
-- refuses the step all is as it was before.
local function decided(uid, write, step)
  local had = redis.call('HGET', runs, uid)
  -- what the step, and to undo it, may need
  redis.call('HDEL', runs, '')
  redis.call('ZREM', q.delayed, '')
  check_forget(q)
  write()
  local done, result = pcall(step)
  if done then return result end
  if had then redis.pcall('HSET', runs, uid, had) else redis.pcall('HDEL', runs, uid) end
  error(result, 0)
end
