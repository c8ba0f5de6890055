-- Why a result does not count, 0 if it does; see finish_and_fetch for the codes. `parents`: some job of the call may
-- have children. The job leaves `active` here.
local function refusal(job, held, token, outcome, id, parents)
  if held ~= token then
    if redis.call('EXISTS', job) == 0 then return -1 end
    return held and -6 or -2
  end
  if parents and outcome == 'completed' and redis.call('EXISTS', job .. ':dependencies', job .. ':unsuccessful') > 0 then
    return redis.call('EXISTS', job .. ':dependencies') == 1 and -4 or -9
  end
  if redis.call('LREM', q.active, -1, id) == 0 then return -3 end
  return 0
end
