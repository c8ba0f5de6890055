--[[ extend_leases: prolongs all leases of a worker in one call.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 lease in milliseconds, then id, token, started a job; started: "<ats>:<processedOn>", the start that
         the caller runs
Returns  the ids whose lease is another's now, or gone
Events   none
Bound    250 jobs; where leases have run out, 100,000 entries of `active` are looked through in all, and 2,000 read
Why      A lease that a handler made longer (job.extend) is not made shorter. One that ran out (Redis was away, the
         process stood still) is taken again if the job is where that start left it: each fetch counts `ats` up, and
         one that was handed back and fetched again has another `processedOn`.
         Where `active` is so long that a job whose lease ran out is not found within the bound, nothing is said of it and
         nothing done: the next call goes on, since it need not look for those that were found. Only in a list of more
         than 100,000 it may never be found; then it goes on without a lease until recover_stalled gives it to another.
         A worker with 500 jobs renews them in one round trip, from a thread that no handler can block. ]]
-- @include base/keys
-- @include base/denied

local locks, kept, lost = {}, {}, {}
for i = 3, #ARGV, 3 do locks[#locks + 1] = base .. ARGV[i] .. ':lock' end
if #locks == 0 then return lost end
local held = redis.call('MGET', unpack(locks))

-- Whether a job is in `active`; nil where this call does not find out. Where that would be too many looks through a long
-- list, those at its ends are known at once, and the rest is looked for as long as it may take.
local length, ends, left = nil, nil, 100000
local function read_end(from, to)
  local ids = redis.call('LRANGE', q.active, from, to)
  for i = 1, #ids do ends[ids[i]] = true end
end
local function is_active(id)
  length = length or redis.call('LLEN', q.active)
  if #locks * length > 100000 then
    if not ends then
      ends = {}
      read_end(0, 999)
      read_end(math.min(math.max(1000, length - 1000), length), -1)
    end
    if ends[id] then return true end
    if length <= 2000 then return false end
    if left < length then return nil end
    left = left - length
  end
  return redis.call('LPOS', q.active, id) ~= false
end

local function is_same_start(job, started)
  local told = heed(redis.pcall('HMGET', job, 'ats', 'processedOn'))
  return told[1] and (told[1] .. ':' .. (told[2] or '')) == started
end

for n = 1, #locks do
  local id, token, started = ARGV[n * 3], ARGV[n * 3 + 1], ARGV[n * 3 + 2]
  local job, keeps = base .. id, false
  if held[n] == token then
    keeps = true
    if redis.call('PTTL', locks[n]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', locks[n], ARGV[2]) end
  elseif not held[n] and is_same_start(job, started) then
    keeps = is_active(id)
    if keeps then redis.call('SET', locks[n], token, 'PX', ARGV[2]) end
  end
  if keeps then
    redis.pcall('HDEL', job, 'unread')
    kept[#kept + 1] = id
  elseif keeps == false then
    lost[#lost + 1] = id
  end
end
if #kept > 0 then redis.pcall('SREM', q.stalled, unpack(kept)) end
return lost
