-- @include place/wake_worker
-- What of the rate is used up; and what is stored under `mark`, which is read along with it. What is no counter is taken
-- away where there is a rate: INCRBY would raise when jobs are leased already.
local function used_of_rate(max, mark)
  local told = redis.call('MGET', q.limiter, mark)
  local used = told[1]
  if used and #used < 17 and string.find(used, '^%-?%d+$') then return tonumber(used), told[2] end
  if used or max > 0 then redis.call('DEL', q.limiter) end
  return 0, told[2]
end

-- How many jobs the queue's own limits allow now, and for how many milliseconds the rate limit holds.
-- The queue's rate (meta) goes before the worker's, and `used` of it is used up.
local function allowance(room, held, max, used, rate_ms)
  if held[1] then return 0, 0 end
  local free = free_places(q, held)
  if free then room = math.min(room, free) end
  if room > 0 and used > 0 then
    -- a limit that a client has set by hand holds whatever the rate: 2^53 - 1
    local left, by_hand = room, used >= 9007199254740991
    if by_hand then left = 0 elseif max > 0 then left = max - used end
    local ttl = redis.call('PTTL', q.limiter)
    if max > 0 and ttl > rate_ms and not by_hand then
      -- Redis' clock was set back, or the rate was for longer: no window lasts beyond one from now
      redis.call('PEXPIRE', q.limiter, math.max(rate_ms, 1))
      ttl = rate_ms
    end
    -- as in BullMQ, a window without an end limits nothing
    if ttl < 0 then return room, 0 end
    if left <= 0 then return 0, math.max(ttl, 1) end
    room = math.min(room, left)
  elseif max > 0 then
    room = math.min(room, max)
  end
  return room, 0
end
