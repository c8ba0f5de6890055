--[[ remove_schedule: ends a schedule and takes its planned iteration away.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 schedule id
Returns  1 removed, 0 there is none; {that, what was refused beside it} where something was
Events   removed, for the planned iteration
Bound    one schedule; an iteration that is due is looked for in `wait`, which takes as long as that is
Why      An iteration that runs already ends as it would; it finds no schedule to go on with. ]]
-- @include base/keys
-- @include base/check_queue
-- @include base/fields
-- @include add/check_planning
-- @include forget/forget_jobs
-- @include place/is_to_run
-- @include place/moving
-- @include place/remove_from_state

check_queue(q)
local schedule = ARGV[2]
check_planning(q)
local planned = redis.call('ZSCORE', base .. 'repeat', schedule)
if planned then
  local id = 'repeat:' .. schedule .. ':' .. whole(number(planned, 0))
  if is_to_run(id) then
    local prev = moving(q, { id }, to_its_state, function()
      local state = remove_from_state(q, id)
      forget_jobs(q, { id }, 'free')
      return state
    end)
    redis.call('XADD', q.events, '*', 'event', 'removed', 'jobId', id, 'prev', prev)
  end
end
redis.call('ZREM', base .. 'repeat', schedule)
local had = redis.call('UNLINK', base .. 'repeat:' .. schedule)
local code = planned and 1 or had
return refusals and { code, refusals } or code
