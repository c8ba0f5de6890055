-- @include base/fields
-- What of the rate is used up. What is no counter is taken away: INCRBY would raise when jobs are leased already.
local function used_of_rate()
  local used = redis.pcall('GET', q.limiter)
  if type(used) == 'string' and #used < 17 and string.find(used, '^%-?%d+$') then return tonumber(used) end
  if used then redis.call('DEL', q.limiter) end
  return 0
end

-- How many jobs the queue's own limits allow now, and for how many milliseconds the rate limit holds.
-- The queue's rate (meta) goes before the worker's.
local function allowance(room, held, max)
  if held[1] then return 0, 0 end
  if held[2] then room = math.min(room, number(held[2], room) - redis.call('LLEN', q.active)) end
  local used = used_of_rate()
  if room > 0 and used > 0 then
    -- a limit that a client has set by hand holds whatever the rate: 2^53 - 1
    local left = room
    if used >= 9007199254740991 then left = 0 elseif max > 0 then left = max - used end
    local ttl = redis.call('PTTL', q.limiter)
    -- as in BullMQ, a window without an end limits nothing
    if ttl < 0 then return room, 0 end
    if left <= 0 then return 0, math.max(ttl, 1) end
    room = math.min(room, left)
  elseif max > 0 then
    room = math.min(room, max)
  end
  return room, 0
end
