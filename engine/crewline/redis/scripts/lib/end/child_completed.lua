-- @include end/leave_parent
-- @include end/release_parent
-- A child that ended well.
local function child_completed(parent_key, parent_json, child, value)
  local queue, id = parent_of(parent_key, parent_json)
  if not queue then return end
  local waits = parent_key .. ':dependencies'
  if not is_waited_for(waits, child) then return end
  redis.call('HSET', parent_key .. ':processed', child, value)
  leave_parent(queue, id, waits, child)
end
