-- A job has ended (or is removed): its deduplication id is free again, unless its time to live says otherwise.
local function release_dedup(queue, id, dedup_id)
  local key = queue.base .. 'de:' .. dedup_id
  if redis.call('GET', key) == id and redis.call('PTTL', key) == -1 then redis.call('DEL', key) end
end
