-- @include base/denied
-- @include base/fields
-- @include end/check_parent
-- Raises, before anything has changed, where Redis does not let its user tell the parent of a job that is to go.
local function check_parent_of(job)
  -- pcall: the key may be anything
  local links = heed(redis.pcall('HMGET', job, 'parentKey', 'parent'))
  if links[1] then check_parent(links[1], links[2]) end
  return true
end

-- Those of these jobs that may go by themselves, as retention has it: one whose parent can't be told stays meanwhile.
local function that_may_go(queue, ids)
  local may = {}
  for i = 1, #ids do
    if attempt(check_parent_of, queue.base .. ids[i]) then may[#may + 1] = ids[i] end
  end
  return may
end
