--[[ sweep_jobs: applies retention to finished jobs, without one that finishes, a part of them a call.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 "completed" or "failed"
         3 count or '', 4 age in seconds or ''   the queue's, for jobs that say nothing; neither: they are kept for ever;
           count is "-" where the queue says nothing either: they are kept, too, but what is written is as they say
         5 how many jobs to look at
         6 written count or '', 7 written age or ''   what our producers write where nothing was said: it yields to the
           queue's
Returns  {how many were deleted, 1 if there are more to look at, and what was refused beside that, if anything was}; the
         next call goes on behind those that were kept
Events   none, but for those of parents that wait no longer
Bound    ARGV 5: 200, fewer where those that go hold 32 MB, or what was read of options is 100 kB
Why      BullMQ prunes only when a job finishes, so that an idle queue keeps what it has for ever. A job goes by the age
         in its own removeOnComplete or removeOnFail, however many older ones are kept: each look goes on where the
         last one ended, in a key of our own. ]]
-- @include base/keys
-- @include base/clock
-- @include base/denied
-- @include base/parse
-- @include base/check_queue
-- @include base/fields
-- @include base/own_key
-- @include forget/check_forget
-- @include forget/check_parents
-- @include forget/forget_jobs
-- @include forget/last_to_go

check_queue(q)
local state, count, age, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local queue_says = ARGV[3] ~= '-'
local finished, own = q[state], state == 'completed' and 'removeOnComplete' or 'removeOnFail'
local place = own_key(q, 'sweep:' .. state)
local at = redis.pcall('GET', place)
local skip = math.max(number(type(at) == 'string' and at, 0), 0)

local function is_older(score, seconds)
  return type(seconds) == 'number' and tonumber(score) <= now - seconds * 1000
end

-- Options that are read as JSON: each MB of them takes 20 ms.
local MOST_READ = 100000

local written = { count = tonumber(ARGV[6]), age = tonumber(ARGV[7]) }

local found = redis.call('ZRANGE', finished, skip, skip + most - 1, 'WITHSCORES')
local excess = count and redis.call('ZCARD', finished) - count or 0
local gone, first_same, read, looked = {}, nil, 0, 0
for i = 1, #found, 2 do
  local id, score = found[i], found[i + 1]
  -- what is no job (a foreign client deleted it, or it never was one) says nothing, and is kept for nothing
  local opts = heed(redis.pcall('HGET', base .. id, 'opts'))
  local policy, goes = type(opts) == 'string' and parse(opts)[own], false
  local same = type(policy) == 'table' and policy.count == written.count and policy.age == written.age
  if same and queue_says then policy = nil end
  if type(opts) == 'table' then goes = true
  elseif type(policy) == 'table' then goes = is_older(score, policy.age)
  elseif policy == nil or policy == false and opts == false then
    goes = is_older(score, age) or skip + looked < excess or (not opts and redis.call('EXISTS', base .. id) == 0)
  else goes = policy == true or policy == 0 end
  if goes then gone[#gone + 1] = id elseif same then first_same = first_same or skip + looked - #gone end
  looked = looked + 1
  read = read + (type(opts) == 'string' and #opts or 0)
  if read >= MOST_READ or goes and last_to_go(base .. id) then break end
end
gone = that_may_go(q, gone)
if #gone > 0 then
  check_forget(q)
  redis.call('ZREM', finished, unpack(gone))
  forget_jobs(q, gone)
end
-- what retain_same steps over, up to the first that says what our producers write
local kept = own_key(q, 'kept:' .. state)
local known = redis.pcall('GET', kept)
local over = number(type(known) == 'string' and known, 0)
local now_over = skip < over and math.max(over - #gone, 0) or over
if first_same and first_same < now_over then now_over = first_same end
if now_over ~= over then redis.call('SET', kept, whole(now_over), 'EX', 3600) end
if looked < most and looked == #found / 2 then
  redis.call('DEL', place)
  return { #gone, 0, refusals }
end
redis.call('SET', place, whole(skip + looked - #gone), 'EX', 86400)
return { #gone, 1, refusals }
