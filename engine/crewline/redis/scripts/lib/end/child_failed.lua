-- @include base/clock
-- @include end/leave_parent
-- @include end/release_parent
-- A child that failed for good: its own options say what becomes of the parent. Without any, it waits on.
local function child_failed(parent_key, parent_json, child, reason)
  local queue, id, link = parent_of(parent_key, parent_json)
  if not queue then return end
  local waits = parent_key .. ':dependencies'
  if not (link.fpof or link.cpof or link.idof or link.rdof) or not is_waited_for(waits, child) then return end
  if link.fpof then
    redis.call('ZADD', parent_key .. ':unsuccessful', stamp, child)
    redis.call('HSET', parent_key, 'defa', 'child ' .. child .. ' failed')
  elseif link.cpof or link.idof then
    redis.call('HSET', parent_key .. ':failed', child, reason)
  end
  leave_parent(queue, id, waits, child, link.fpof or link.cpof)
end
