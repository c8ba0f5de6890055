-- Puts an id into `delayed`. The score is due * 4096 + a sequence number, so that jobs due in the same
-- millisecond keep their order (at most 4096 of them; more share the last place).
local function delay_job(delayed, id, due)
  local first, last = due * 4096, due * 4096 + 4095
  local top = redis.call('ZREVRANGEBYSCORE', delayed, last, first, 'WITHSCORES', 'LIMIT', 0, 1)
  local score = first
  if top[2] then score = math.min(tonumber(top[2]) + 1, last) end
  redis.call('ZADD', delayed, string.format('%.0f', score), id)
end

-- Tells idle workers when the next delayed job is due.
local function mark_next_due(delayed, marker)
  local head = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')
  if head[2] then
    redis.call('ZADD', marker, string.format('%.0f', math.floor(tonumber(head[2]) / 4096)), '1')
  end
end
