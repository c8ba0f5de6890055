-- @include base/own_key
-- Carries out a step that adds a job under the key of one that it replaces, and that is in no state: two can't have one
-- key, so that the old one is set aside meanwhile. Where Redis refuses the step, the old one is what it was. Whether it may
-- be deleted was asked before (check_forget).
local function in_place_of(id, prev, step)
  local job, aside = base .. id, own_key(q, 'aside')
  redis.call('RENAME', job, aside)
  local told = redis.pcall('XADD', q.events, '*', 'event', 'removed', 'jobId', id, 'prev', prev)
  local stored, result = pcall(step)
  if not stored then
    -- nobody has read it yet
    if type(told) == 'string' then redis.pcall('XDEL', q.events, told) end
    redis.pcall('RENAME', aside, job)
    error(result, 0)
  end
  redis.call('UNLINK', aside, job .. ':logs')
  return result
end
