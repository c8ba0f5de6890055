-- @include base/clock
-- @include base/fields
-- BullMQ's per-minute metrics: a total, and one number a minute, newest first, `points` of them.
local function count_metrics(state, n, points)
  local key = base .. 'metrics:' .. state
  local count = redis.call('HINCRBY', key, 'count', n)
  local seen = redis.call('HMGET', key, 'prevTS', 'prevCount')
  local minute = math.floor(now / 60000)
  if not seen[1] then
    redis.call('HSET', key, 'prevTS', stamp, 'prevCount', 0)
    return
  end
  local minutes = math.min(minute - math.floor(number(seen[1], now) / 60000), points)
  if minutes > 0 then
    local row = { count - n - number(seen[2], 0) }
    for i = 2, minutes do row[i] = 0 end
    -- the oldest of them has the count, the silent minutes after it none
    for i = 1, #row, 1000 do redis.call('LPUSH', key .. ':data', unpack(row, i, math.min(i + 999, #row))) end
    redis.call('LTRIM', key .. ':data', 0, points - 1)
    redis.call('HSET', key, 'prevTS', stamp, 'prevCount', count - n)
  end
end

-- Those that nobody ended who knows how many minutes are kept: they are in the total, if the queue has one, and so in
-- the minute that is told of next.
local function count_in_total(state, n)
  if redis.call('EXISTS', base .. 'metrics:completed', base .. 'metrics:failed') > 0 then
    redis.call('HINCRBY', base .. 'metrics:' .. state, 'count', n)
  end
end
