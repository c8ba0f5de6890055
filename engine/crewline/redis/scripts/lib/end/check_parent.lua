-- @include base/ask
-- @include end/release_parent
-- Raises, before anything has changed, where Redis does not let its user tell a parent of its child's end: once the child
-- is gone nobody would, and the parent would wait for ever. What is asked of Redis changes nothing: those that would write
-- an empty entry are asked of a set (WRONGTYPE), and no event can have the id 0-0. Most of it is asked once a queue: a
-- call may be about many parents.
local asked_of = {}
local function check_parent(parent_key, parent_json)
  local queue, id = parent_of(parent_key, parent_json)
  if not queue then return end
  local waits, parent = parent_key .. ':dependencies', queue.base .. id
  local what = 'the parent ' .. parent_key .. ' waits for this job, and can not be told'
  if ask(what, 'SCARD', waits) == 0 or ask(what, 'SREM', waits, '') ~= 0 or asked_of[queue.base] then return end
  ask(what, 'SISMEMBER', waits, '')
  ask(what, 'ZADD', waits, '0', '')
  ask(what, 'HSET', waits, '', '')
  ask(what, 'HGET', parent, '')
  ask(what, 'HMGET', parent, '')
  ask(what, 'ZSCORE', queue.children, '')
  ask(what, 'ZREM', queue.children, '')
  ask(what, 'XADD', queue.events, '0-0', '', '')
  ask(what, 'XTRIM', waits, 'MAXLEN', '1')
  ask(what, 'RPUSH', waits, '')
  ask(what, 'LLEN', waits)
  ask(what, 'INCR', waits)
  ask(what, 'ZREVRANGEBYSCORE', waits, '0', '0')
  ask(what, 'ZRANGE', waits, '0', '0')
  ask(what, 'TYPE', queue.paused)
  asked_of[queue.base] = true
end
