-- Forgets jobs that have ended, mostly failed ones; what that takes is made when the first goes.
local forgets
local function forget_ended(queue, ids)
  if not forgets then
    -- @include forget/forget_jobs
    forgets = forget_jobs
  end
  forgets(queue, ids)
end
