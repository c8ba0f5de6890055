-- @include base/clock
-- @include base/fields
-- @include place/promote
-- @include fetch/taken
-- Moves delayed jobs that are due to where they run from; at most 50 a call.
local function promote_due()
  local due = redis.call('ZRANGEBYSCORE', q.delayed, '-inf', whole(now * 4096 + 4095), 'LIMIT', 0, 50)
  if #due == 0 then return 0 end
  taken.due = due
  redis.call('ZREM', q.delayed, unpack(due))
  for i = 1, #due do promote(due[i]) end
  return #due
end
