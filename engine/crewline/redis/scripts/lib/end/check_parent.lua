-- @include base/denied
-- @include end/release_parent
-- Raises, before anything has changed, where Redis does not let its user tell a parent of its child's end: once the child
-- is gone nobody would, and the parent would wait for ever. What is asked of Redis changes nothing.
local function check_parent(parent_key, parent_json)
  local queue = parent_of(parent_key, parent_json)
  if not queue then return end
  for _, reply in ipairs({
    redis.pcall('SREM', parent_key .. ':dependencies', ''), redis.pcall('ZREM', queue.children, ''),
  }) do
    if is_denied(reply) then
      error('the parent ' .. parent_key .. ' waits for this job, and can not be told: ' .. reply.err, 0)
    end
  end
end
