-- @include base/clock
-- @include end/release_parent
-- A child that failed for good: its own options say what becomes of the parent. Without any, it waits on.
local function child_failed(parent_key, parent_json, child, reason)
  local queue, id, link = parent_of(parent_key, parent_json)
  if not queue then return end
  local waits = parent_key .. ':dependencies'
  if link.fpof then
    if redis.call('SREM', waits, child) == 0 then return end
    redis.call('ZADD', parent_key .. ':unsuccessful', stamp, child)
    redis.call('HSET', parent_key, 'defa', 'child ' .. child .. ' failed')
    release_parent(queue, id)
  elseif link.cpof then
    if redis.call('SREM', waits, child) == 0 then return end
    redis.call('HSET', parent_key .. ':failed', child, reason)
    release_parent(queue, id)
  elseif link.idof or link.rdof then
    if redis.call('SREM', waits, child) == 0 then return end
    if link.idof then redis.call('HSET', parent_key .. ':failed', child, reason) end
    if redis.call('EXISTS', waits) == 0 then release_parent(queue, id) end
  end
end
