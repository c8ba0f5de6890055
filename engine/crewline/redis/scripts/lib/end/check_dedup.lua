-- @include base/ask
-- Raises, before anything has changed, where Redis does not let its user free a job's deduplication id at its end, or run
-- what was kept until then: the id would be held for ever by one that has ended. What is asked changes nothing, as in
-- check_parent; once a call, but for whether something is kept.
local asked_to_free, asked_to_run
local function check_dedup(queue, dedup_id)
  local what = 'the deduplication id ' .. dedup_id .. ' can not be freed'
  local later, id = queue.base .. 'dn:' .. dedup_id, ':gone'
  local nobody = queue.base .. id
  if not asked_to_free then
    ask(what, 'GET', nobody)
    ask(what, 'PTTL', nobody)
    ask(what, 'DEL', nobody)
    ask(what, 'HMGET', nobody, 'name')
    asked_to_free = true
  end
  local name = not asked_to_run and ask(what, 'HGET', later, 'name')
  -- none is kept, or it is of another type
  if type(name) ~= 'string' then return end
  -- a hash: it takes no other kind of command, and has its name already
  for _, command in ipairs({ 'ZREVRANGEBYSCORE', 'ZRANGE' }) do ask(what, command, later, '0', '0') end
  for _, command in ipairs({ 'LPUSH', 'RPUSH', 'SADD', 'ZREM', 'ZSCORE', 'LPOS' }) do ask(what, command, later, '') end
  for _, command in ipairs({ 'LLEN', 'ZCARD', 'INCR' }) do ask(what, command, later) end
  ask(what, 'ZADD', later, '0', '')
  ask(what, 'INCRBY', later, '1')
  ask(what, 'HSETNX', later, 'name', '')
  ask(what, 'HSET', later, 'name', name)
  ask(what, 'HDEL', later, '')
  for _, command in ipairs({ 'EXISTS', 'TYPE', 'PERSIST', 'UNLINK' }) do ask(what, command, nobody) end
  ask(what, 'SET', nobody, '', 'XX')
  ask(what, 'RENAME', nobody, later)
  ask(what, 'XADD', queue.events, '0-0', '', '')
  asked_to_run = true
end
