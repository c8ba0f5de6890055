-- Raises, before anything has changed, where Redis does not let its user delete jobs of this queue: they would be in no
-- state, and nobody would find them. Nor where it can't be seen which deduplication ids they hold. The key is nobody's.
local function check_forget(queue)
  local id = ':gone'
  redis.call('UNLINK', queue.base .. id)
  redis.call('GET', queue.base .. id)
end
