--[[ sweep_jobs: applies a queue's retention to finished jobs, without one that finishes.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 "completed" or "failed", 3 count or '', 4 age in seconds or '', 5 how many jobs to look at
Returns  how many were deleted
Events   none
Why      BullMQ prunes only when a job finishes, so that an idle queue keeps what it has for ever. A job that brings its
         own removeOnComplete or removeOnFail is left to it. ]]
-- @include base/keys
-- @include base/clock
-- @include base/fields
-- @include forget/forget_jobs

local finished = ARGV[2] == 'completed' and q.completed or q.failed
local own = ARGV[2] == 'completed' and 'removeOnComplete' or 'removeOnFail'
local ids = {}
if ARGV[4] ~= '' then
  ids = redis.call('ZRANGEBYSCORE', finished, '-inf', whole(now - tonumber(ARGV[4]) * 1000), 'LIMIT', 0, ARGV[5])
end
if #ids == 0 and ARGV[3] ~= '' then
  local excess = redis.call('ZCARD', finished) - tonumber(ARGV[3])
  if excess > 0 then ids = redis.call('ZRANGE', finished, 0, math.min(excess, tonumber(ARGV[5])) - 1) end
end
local gone = {}
for i = 1, #ids do
  local opts = redis.pcall('HGET', base .. ids[i], 'opts')
  if type(opts) == 'table' or parse(opts)[own] == nil then gone[#gone + 1] = ids[i] end
end
if #gone > 0 then
  redis.call('ZREM', finished, unpack(gone))
  forget_jobs(q, gone)
end
return #gone
