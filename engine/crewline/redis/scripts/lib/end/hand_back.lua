-- A job that its worker gives back: it runs next, and no attempt was used up.
local function hand_back(id, job)
  push_job(q, id, priority_of(job), true, 'active')
end
