-- @include end/let_run
-- @include end/release_parent
-- A child leaves those that its parent waits for as the last step of its end: where Redis refuses one before, whoever
-- repeats the end does all of it again, and what was done is done once. Whether it may leave shows before the first, so
-- that no parent runs that still waits for one.
local function is_waited_for(waits, child)
  if redis.call('SISMEMBER', waits, child) == 0 then return false end
  redis.call('SREM', waits, '')
  return true
end

-- `at_once`: the parent does not wait for the others either.
local function leave_parent(queue, id, waits, child, at_once)
  local place = (at_once or redis.call('SCARD', waits) == 1) and let_run(queue, id)
  redis.call('SREM', waits, child)
  if place then announce_release(queue, place) end
end
