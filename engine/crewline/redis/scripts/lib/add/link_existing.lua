-- A job of a flow that was there before: its parent waits for it, or takes what it ended with.
local function link_existing(queue, id, job, extra)
  local had = redis.call('HGET', job, 'parentKey')
  if had and had ~= extra.parentKey and redis.call('EXISTS', had) == 1 then return end
  redis.call('HSET', job, 'parentKey', extra.parentKey, 'parent', extra.parent)
  local child, value = queue.base .. id, redis.call('HGET', job, 'returnvalue')
  if redis.call('ZSCORE', queue.completed, id) then
    redis.call('HSET', extra.parentKey .. ':processed', child, value or 'null')
  elseif not redis.call('ZSCORE', queue.failed, id) then
    redis.call('SADD', extra.parentKey .. ':dependencies', child)
  end
end
