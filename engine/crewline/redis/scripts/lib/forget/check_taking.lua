-- @include base/ask
-- @include base/trim_events
-- Raises, before anything has changed, where Redis does not let its user take jobs out of any state (remove_from_state) and
-- tell of it: of several some would be gone. What is asked changes nothing, at a key that is nobody's.
local function check_taking(queue)
  local what, id = 'jobs can not be taken from ' .. queue.base, ':gone'
  local nobody = queue.base .. id
  for _, command in ipairs({ 'ZCARD', 'LLEN' }) do ask(what, command, nobody) end
  for _, command in ipairs({ 'ZSCORE', 'ZREM', 'SREM', 'HDEL' }) do ask(what, command, nobody, '') end
  ask(what, 'LREM', nobody, '1', '')
  ask(what, 'ZRANGE', nobody, '0', '0')
  ask(what, 'ZADD', nobody, 'XX', '0', '')
  ask(what, 'HMGET', nobody, '')
  ask(what, 'XADD', queue.events, '0-0', '', '')
  trim_events(queue)
end
