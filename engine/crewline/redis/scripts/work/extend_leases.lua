--[[ extend_leases: prolongs all leases of a worker in one call.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 lease in milliseconds, then id, token, started a job; started: "<ats>:<processedOn>", the start that
         the caller runs
Returns  the ids whose lease is another's now, or gone
Events   none
Bound    250 jobs; where leases have run out, `active` is looked through once, which takes as long as it is
Why      A lease that a handler made longer (job.extend) is not made shorter. One that ran out (Redis was away, the
         process stood still) is taken again if the job is where that start left it: each fetch counts `ats` up, and
         one that was handed back and fetched again has another `processedOn`.
         A worker with 500 jobs renews them in one round trip, from a thread that no handler can block. ]]
-- @include base/keys

local locks, kept, lost = {}, {}, {}
for i = 3, #ARGV, 3 do locks[#locks + 1] = base .. ARGV[i] .. ':lock' end
if #locks == 0 then return lost end
local held = redis.call('MGET', unpack(locks))

-- What is active, looked up once where many leases have run out.
local active
local function is_active(id)
  if #locks < 10 then return redis.call('LPOS', q.active, id) end
  if not active then
    active = {}
    local ids = redis.call('LRANGE', q.active, 0, -1)
    for i = 1, #ids do active[ids[i]] = true end
  end
  return active[id]
end

local function is_same_start(job, started)
  local told = redis.pcall('HMGET', job, 'ats', 'processedOn')
  return told[1] and (told[1] .. ':' .. (told[2] or '')) == started
end

for n = 1, #locks do
  local id, token, started = ARGV[n * 3], ARGV[n * 3 + 1], ARGV[n * 3 + 2]
  local job, keeps = base .. id, true
  if held[n] == token then
    if redis.call('PTTL', locks[n]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', locks[n], ARGV[2]) end
  elseif not held[n] and is_same_start(job, started) and is_active(id) then
    redis.call('SET', locks[n], token, 'PX', ARGV[2])
  else
    keeps = false
  end
  if keeps then
    redis.pcall('HDEL', job, 'unread')
    kept[#kept + 1] = id
  else
    lost[#lost + 1] = id
  end
end
if #kept > 0 then redis.pcall('SREM', q.stalled, unpack(kept)) end
return lost
