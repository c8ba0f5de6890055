-- @include base/clock
-- @include base/fields
-- @include base/own_key
-- Whether looks for lost jobs have come for a whole lease, none more than half a lease after the last; whoever made them.
local function came_regularly(lease, first)
  local looks = own_key(q, 'looks')
  if first and redis.call('TYPE', looks).ok ~= 'hash' then redis.call('DEL', looks) end
  local told = redis.call('HMGET', looks, 'since', 'last')
  local since, last = number(told[1], now), number(told[2], 0)
  if first then
    -- a clock that was set back tells nothing, either
    if now - last > lease / 2 or last > now then since = now end
    redis.call('HSET', looks, 'since', whole(since), 'last', stamp)
    redis.call('PEXPIRE', looks, math.max(lease, 1))
  end
  return now - since >= lease
end
