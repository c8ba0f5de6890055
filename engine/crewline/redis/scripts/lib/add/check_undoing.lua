-- Raises, before anything has changed, where Redis does not let its user take away again what a call adds, should it be
-- refused half-way (undo_adding). What is asked changes nothing, at a key that is nobody's.
local function check_undoing(queue)
  local id = ':gone'
  local nobody = queue.base .. id
  redis.call('ZREM', nobody, '')
  redis.call('LREM', nobody, '1', '')
  redis.call('SREM', nobody, '')
end
