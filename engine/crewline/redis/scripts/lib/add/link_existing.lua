-- @include add/held_ids
-- @include base/denied
-- A job of a flow that was there before: its parent waits for it, or takes what it ended with.
local function link_existing(queue, id, job, extra)
  local told = heed(redis.pcall('HMGET', job, 'parentKey', 'returnvalue'))
  local had, child, value = told[1], queue.base .. id, told[2]
  -- it is no job, or another's child
  if told.err or (had and had ~= extra.parentKey and not going[had] and redis.call('EXISTS', had) == 1) then return end
  redis.call('HSET', job, 'parentKey', extra.parentKey, 'parent', extra.parent)
  if redis.call('ZSCORE', queue.completed, id) then
    redis.call('HSET', extra.parentKey .. ':processed', child, value or 'null')
  elseif not redis.call('ZSCORE', queue.failed, id) then
    redis.call('SADD', extra.parentKey .. ':dependencies', child)
  end
end
