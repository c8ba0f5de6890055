-- @include base/denied
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
  local function ask(...)
    local reply = redis.pcall(...)
    if is_denied(reply) then
      error('the parent ' .. parent_key .. ' waits for this job, and can not be told: ' .. reply.err, 0)
    end
    return reply
  end
  if ask('SCARD', waits) == 0 or ask('SREM', waits, '') ~= 0 or asked_of[queue.base] then return end
  asked_of[queue.base] = true
  ask('SISMEMBER', waits, '')
  ask('ZADD', waits, '0', '')
  ask('HSET', waits, '', '')
  ask('HGET', parent, '')
  ask('HMGET', parent, '')
  ask('ZSCORE', queue.children, '')
  ask('ZREM', queue.children, '')
  ask('XADD', queue.events, '0-0', '', '')
  ask('RPUSH', waits, '')
  ask('INCR', waits)
  ask('ZREVRANGEBYSCORE', waits, '0', '0')
  ask('TYPE', queue.paused)
end
