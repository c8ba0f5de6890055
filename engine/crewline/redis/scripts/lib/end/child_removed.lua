-- @include end/release_parent
-- A child that was removed is not waited for.
local function child_removed(parent_key, parent_json, child)
  local queue, id = parent_of(parent_key, parent_json)
  if not queue then return end
  local waits = parent_key .. ':dependencies'
  if redis.call('SREM', waits, child) == 1 and redis.call('EXISTS', waits) == 0 then release_parent(queue, id) end
end
