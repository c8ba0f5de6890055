-- @include base/ask
-- Raises, before anything has changed, where Redis does not let its user do all that it takes to put jobs of this queue where
-- they run from, to count that, and to tell of it: one that was moved would not be found again by whoever repeats the call.
-- Each command is tried where it does nothing, or what it does is taken away again, at a key that is nobody's; what takes
-- away comes first, and a full Redis allows that and what follows. Once a call. `leased`: they leave their leases, too.
local asked_to_move = {}
local function check_moving(queue, leased)
  if asked_to_move[queue.base] then return end
  local what, id, why = 'jobs can not be moved in ' .. queue.base, ':gone', nil
  local nobody = queue.base .. id
  ask(what, 'LREM', nobody, '0', 'x')
  ask(what, 'HDEL', nobody, 'x')
  if leased then ask(what, 'DEL', nobody) end
  -- none raises while something is there
  local function try(command, ...)
    local asked, refused = pcall(ask, what, command, nobody, ...)
    if not asked then why = why or refused end
  end
  try('HSET', 'x', '0')
  try('HINCRBY', 'x', '1')
  try('HMGET', 'x')
  try('HGET', 'x')
  try('HDEL', 'x')
  try('LPUSH', 'x')
  try('RPUSH', 'x')
  try('LLEN')
  try('LREM', '0', 'x')
  for _, command in ipairs({ 'ZREVRANGEBYSCORE', 'ZRANGE' }) do try(command, '0', '0') end
  try('ZREM', 'x')
  try('ZCARD')
  try('TYPE')
  -- Redis 6.0 does not know the word, and says so
  try('XADD', 'NOMKSTREAM', '*', 'x', 'x')
  try('XTRIM', 'MAXLEN', '1')
  -- the one key by which those are woken that wait
  ask(what, 'ZADD', queue.marker, 'XX', '0', 'x')
  if why then error(why, 0) end
  asked_to_move[queue.base] = true
end
