-- @include base/denied
-- @include base/fields
-- Numbers in a job's hash, whatever another client has made of them.
local function priority_of(job)
  local n = number(heed(redis.pcall('HGET', job, 'priority')), 0)
  if n < 0 or n > 2097151 then return 0 end
  return n
end

local function increment(job, field)
  local n = heed(redis.pcall('HINCRBY', job, field, 1))
  if type(n) == 'number' then return n end
  redis.call('HSET', job, field, 1)
  return 1
end
