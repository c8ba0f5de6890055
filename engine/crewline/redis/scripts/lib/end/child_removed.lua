-- @include end/leave_parent
-- @include end/release_parent
-- A child that was removed is not waited for.
local function child_removed(parent_key, parent_json, child)
  local queue, id = parent_of(parent_key, parent_json)
  if not queue then return end
  local waits = parent_key .. ':dependencies'
  if is_waited_for(waits, child) then leave_parent(queue, id, waits, child) end
end
