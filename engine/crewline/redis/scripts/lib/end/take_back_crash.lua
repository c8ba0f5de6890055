-- @include base/fields
-- How a suspect ended is told too late: whoever ran it lives, and had only stood still. The crash that was counted for
-- that is none, nor is what the job was condemned for.
local function take_back_crash(job)
  local crashes = number(redis.pcall('HGET', job, 'crashes'), 0)
  if crashes <= 0 then return end
  if crashes > 1 then redis.call('HSET', job, 'crashes', whole(crashes - 1)) else redis.call('HDEL', job, 'crashes') end
  local condemned = redis.call('HGET', job, 'defa')
  if condemned and string.find(condemned, '^job took its worker down') then redis.call('HDEL', job, 'defa') end
end
