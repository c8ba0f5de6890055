-- @include base/denied
-- @include end/check_dedup
-- @include end/check_parent
-- Raises, before anything has changed, where Redis does not let its user do all that it means to others when a job goes
-- before it has ended: its parent, and what is kept until its end.
local function check_going(queue, job)
  -- pcall: the key may be anything
  local links = heed(redis.pcall('HMGET', job, 'parentKey', 'parent', 'deid'))
  if links[1] then check_parent(links[1], links[2]) end
  if links[3] then check_dedup(queue, links[3]) end
end
