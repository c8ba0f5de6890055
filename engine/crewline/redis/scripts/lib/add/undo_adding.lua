-- @include place/put_right
-- What a call has begun to add when Redis refused it: of the jobs that are in no state, nothing is kept, so that a repeat
-- does not take one for a job that is there. `ids`: those that this call may have stored.
local function undo_adding(ids)
  for i = 1, #ids do
    local job = base .. ids[i]
    local active = type(redis.pcall('LPOS', q.active, ids[i])) == 'number' or redis.pcall('EXISTS', job .. ':lock') == 1
    if not active and not stands(ids[i]) and redis.pcall('UNLINK', job) ~= 1 then redis.pcall('DEL', job) end
  end
end
