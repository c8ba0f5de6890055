-- @include base/clock
-- @include base/fields
-- @include forget/delete_jobs
-- Applies one retention policy to a set of finished jobs: `count` newest are kept, and none older than
-- `age` seconds ('' = no bound). At most 1,000 jobs a call go, so that one call never blocks Redis for long.
local function retain_jobs(finished, count, age)
  local gone = 0
  if age ~= '' then
    local old = redis.call('ZRANGEBYSCORE', finished, '-inf', whole(now - tonumber(age) * 1000), 'LIMIT', 0, 1000)
    if #old > 0 then
      delete_jobs(base, old)
      redis.call('ZREM', finished, unpack(old))
      gone = #old
    end
  end
  if count ~= '' then
    local excess = redis.call('ZCARD', finished) - tonumber(count)
    if excess > 0 then
      local old = redis.call('ZRANGE', finished, 0, math.min(excess, 1000) - 1)
      delete_jobs(base, old)
      redis.call('ZREM', finished, unpack(old))
      gone = gone + #old
    end
  end
  return gone
end
