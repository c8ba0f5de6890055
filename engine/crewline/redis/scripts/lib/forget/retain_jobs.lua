-- @include base/clock
-- @include base/fields
-- @include forget/delete_jobs
-- @include forget/forgetting
-- @include forget/fewer_of_such
-- Applies one retention policy to a queue's finished jobs: `count` newest are kept, and none older than `age` seconds
-- ('' = no bound). At most `most` jobs go, and fewer of large ones, so that one call never blocks Redis for long. Returns
-- how many did.
local function retain_jobs(queue, state, count, age, most)
  local finished, old = queue[state], {}
  if age ~= '' then
    old = redis.call('ZRANGEBYSCORE', finished, '-inf', whole(now - tonumber(age) * 1000), 'LIMIT', 0, most)
    if #old > FEW then
      most = fewer_of_such(queue, old[1], most)
      old = { unpack(old, 1, most) }
    end
    if state == 'failed' and #old > 0 then old = forgetting().that_may_go(queue, old) end
    if #old > 0 then redis.call('ZREM', finished, unpack(old)) end
  end
  if count ~= '' and #old < most then
    local excess = redis.call('ZCARD', finished) - tonumber(count)
    if excess > 0 then
      local first = redis.call('ZPOPMIN', finished, math.min(excess, most - #old))
      if #first > 2 * FEW then most = fewer_of_such(queue, first[1], most) end
      for i = 1, #first, 2 do
        if #old < most and (state ~= 'failed' or forgetting().that_may_go(queue, { first[i] })[1]) then
          old[#old + 1] = first[i]
        else
          redis.call('ZADD', finished, first[i + 1], first[i])
        end
      end
    end
  end
  if #old == 0 then return 0 end
  -- a parent does not wait for a child that completed, and its deduplication id is free
  local gone, why
  if state == 'completed' then
    gone, why = pcall(delete_jobs, queue.base, old)
  else
    gone, why = pcall(forgetting().forget_jobs, queue, old)
  end
  if not gone then
    -- @include base/told_by
    -- the next to go, as they were
    for i = 1, #old do
      local id = old[i]
      if not is_gone(queue.base .. id) then redis.pcall('ZADD', finished, 0, id) end
    end
    error(why, 0)
  end
  return #old
end
