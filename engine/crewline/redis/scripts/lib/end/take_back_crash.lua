-- @include base/denied
-- @include base/fields
-- @include end/condemn
-- How a start of a suspect ended is told too late: whoever ran it lives, and had only stood still. A crash that was
-- counted for that start is none, nor is what the job was condemned for.
local function take_back_crash(job, start)
  if heed(redis.pcall('HGET', job, 'blamed')) ~= start then return end
  local crashes = number(redis.call('HGET', job, 'crashes'), 0)
  local why = condemnation(crashes)
  -- what it was told to have died of may follow
  if string.sub(redis.call('HGET', job, 'defa') or '', 1, #why) == why then redis.call('HDEL', job, 'defa') end
  redis.call('HDEL', job, 'blamed')
  if crashes > 1 then redis.call('HSET', job, 'crashes', whole(crashes - 1)) else redis.call('HDEL', job, 'crashes') end
end
