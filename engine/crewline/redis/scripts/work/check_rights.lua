--[[ check_rights: which commands and keys Redis does not let its user use, of those that a worker needs.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 id of a job that there is none of
Returns  names of commands, and patterns of keys; {} where nothing is refused
Events   none
Bound    two keys
Why      A script is not undone where it is refused a command: what it had taken out of one state and was to put into
         another would be in none. So a worker asks before it fetches, for what the scripts in work and upkeep use, and
         continue_schedule; a test compares. Each command is tried at a string that is there
         for as long as this call takes: all that could change it says that it is of another type. ACL DRYRUN would be
         simpler, but is an administrator's, and redis.acl_check_cmd takes Redis 7.0 down where it is given too little. ]]
-- @include base/keys
-- @include base/own_key
-- @include base/denied
-- @include base/even_full

local job, refused = base .. ARGV[2], {}

local function may(command, ...)
  local reply = redis.pcall(command, ...)
  if is_denied(reply) then return false end
  local why = type(reply) == 'table' and reply.err
  if why and not string.find(why, 'WRONGTYPE', 1, true) then error(command .. ': ' .. why) end
  return true
end

even_full()
-- all that follows would write, were there none
if not may('SET', job, '', 'PX', 1000) then return { 'set' } end
for shape, commands in pairs({
  [''] = 'EXISTS GET HGETALL HLEN LLEN MGET PTTL RPOP SCARD SRANDMEMBER TYPE XLEN ZCARD ZPOPMIN',
  ['x'] = 'HDEL HEXISTS HGET HMGET HSTRLEN LPOS LPUSH RPUSH SADD SISMEMBER SREM ZRANK ZREM ZSCORE',
  ['0'] = 'LINDEX',
  ['1000'] = 'EXPIRE PEXPIRE',
  ['0 0'] = 'LRANGE LTRIM ZRANGE ZRANGEBYSCORE ZREMRANGEBYSCORE ZREVRANGEBYSCORE',
  ['0 x'] = 'LREM LSET ZADD',
  ['x 0'] = 'HSET HSETNX',
  ['x 1'] = 'HINCRBY',
  ['* x x'] = 'XADD',
  ['MAXLEN 1'] = 'XTRIM',
}) do
  local given = {}
  for word in string.gmatch(shape, '%S+') do given[#given + 1] = word end
  for command in string.gmatch(commands, '%S+') do
    if not may(command, job, unpack(given)) then refused[#refused + 1] = string.lower(command) end
  end
end
-- in this order: each but the last leaves a key that goes by itself
for _, call in ipairs({
  { 'PERSIST' }, { 'SET', '0', 'PX', 1000 }, { 'INCR' }, { 'INCRBY', 1 }, { 'RENAME', job }, { 'UNLINK' },
  { 'DEL' },
}) do
  if not may(call[1], job, unpack(call, 2)) then refused[#refused + 1] = string.lower(call[1]) end
end
if not may('TIME') then refused[#refused + 1] = 'time' end
table.sort(refused)
if not may('SET', own_key(q, 'rights'), '', 'PX', 1) then refused[#refused + 1] = own_key(q, '*') end
return refused
