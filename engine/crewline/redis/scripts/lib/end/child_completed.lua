-- @include end/release_parent
-- A child that ended well.
local function child_completed(parent_key, parent_json, child, value)
  local queue, id = parent_of(parent_key, parent_json)
  if not queue then return end
  local waits = parent_key .. ':dependencies'
  if redis.call('SREM', waits, child) == 0 then return end
  redis.call('HSET', parent_key .. ':processed', child, value)
  if redis.call('EXISTS', waits) == 0 then release_parent(queue, id) end
end
