-- How jobs go that have ended, mostly failed ones: made when the first goes.
local forgets
local function forgetting()
  if not forgets then
    -- @include forget/check_parents
    -- @include forget/forget_jobs
    forgets = { forget_jobs = forget_jobs, that_may_go = that_may_go }
  end
  return forgets
end
