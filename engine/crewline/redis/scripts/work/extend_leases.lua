--[[ extend_leases: prolongs all leases of a worker in one call.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 lease in milliseconds, then id, token, started a job; started: the attempt that the caller runs
Returns  the ids whose lease is another's now, or gone
Events   none
Why      A lease that a handler made longer (job.extend) is not made shorter. One that ran out (Redis was away, the
         process stood still) is taken again if nobody has fetched the job since: each fetch counts `ats` up.
         A worker with 500 jobs renews them in one round trip, from a thread that no handler can block. ]]
-- @include base/keys

local locks, kept, lost = {}, {}, {}
for i = 3, #ARGV, 3 do locks[#locks + 1] = base .. ARGV[i] .. ':lock' end
if #locks == 0 then return lost end
local held = redis.call('MGET', unpack(locks))
for n = 1, #locks do
  local id, token, started = ARGV[n * 3], ARGV[n * 3 + 1], ARGV[n * 3 + 2]
  if held[n] == token then
    if redis.call('PTTL', locks[n]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', locks[n], ARGV[2]) end
    kept[#kept + 1] = id
  elseif not held[n] and redis.pcall('HGET', base .. id, 'ats') == started and redis.call('LPOS', q.active, id) then
    redis.call('SET', locks[n], token, 'PX', ARGV[2])
    kept[#kept + 1] = id
  else
    lost[#lost + 1] = id
  end
end
if #kept > 0 then redis.pcall('SREM', q.stalled, unpack(kept)) end
return lost
