-- @include base/denied
-- Raises, before anything has changed, where Redis does not let its user use what it takes to change what is planned: a
-- script is not undone where it is refused a command half-way, and what was taken away for its successor would be lost.
-- `adds`: a job is to be added; else it works in a full Redis, too. Each command is tried where it does nothing, or what
-- it does is taken away again; none fails that is allowed, since Redis counts what fails. The key is nobody's.
local function check_planning(queue, adds)
  local id = ':gone'
  local key, why = queue.base .. id, nil
  local function try(command, ...)
    local reply = redis.pcall(command, key, ...)
    if is_denied(reply) then why = why or reply.err end
  end
  local function clear()
    local reply = redis.pcall('UNLINK', key)
    if is_denied(reply) then
      redis.pcall('DEL', key)
      error(reply.err, 0)
    end
  end
  if adds then
    -- before the first that a full Redis allows; where it can't be taken away it goes by itself
    redis.call('SET', key, '0', 'PX', 1000)
    try('INCR')
  end
  clear()
  if adds then
    try('HSET', 'x', '0')
    try('HINCRBY', 'x', 1)
    clear()
    try('LPUSH', 'x')
    try('RPUSH', 'x')
    clear()
    try('EXISTS')
    try('TYPE')
    try('HGET', 'x')
    try('ZREVRANGEBYSCORE', '0', '0')
    try('XTRIM', 'MAXLEN', '1')
  end
  try('LLEN')
  try('ZCARD')
  for _, command in ipairs({ 'HDEL', 'HMGET', 'LPOS', 'ZREM', 'ZSCORE' }) do try(command, 'x') end
  try('ZRANGE', '0', '0')
  try('LREM', '0', 'x')
  try('ZADD', 'XX', '0', 'x')
  -- Redis 6.0 does not know the word, and says so
  try('XADD', 'NOMKSTREAM', '*', 'x', 'x')
  if why then error(why, 0) end
end
