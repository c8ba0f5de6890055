-- @include base/fields
-- Whether a job is the next iteration of a schedule, which goes on with it; an earlier one that waits again is a job like
-- any. `schedule`: the job's rjk.
local function is_next_iteration(id, schedule)
  local planned = schedule and redis.call('ZSCORE', base .. 'repeat', schedule)
  return planned and id == 'repeat:' .. schedule .. ':' .. whole(number(planned, 0))
end
