--[[ reclaim_jobs: takes back jobs that were fetched by a call whose reply was lost.

KEYS     the queue's declared keys (lib/keys.lua)
ARGV     1 base, then the tokens of such calls
Returns  the ids that were put back
Events   waiting (prev active), a job
Why      Nobody runs them, and without this they would wait for their lease to end. ]]
-- @include keys
-- @include fields
-- @include move_job

local wanted, back = {}, {}
for i = 2, #ARGV do wanted[ARGV[i]] = true end
-- what was fetched last is at the head; a call fetches 50 at most
local ids = redis.call('LRANGE', q.active, 0, 4999)
for i = 1, #ids do
  local lock = base .. ids[i] .. ':lock'
  local holder = redis.call('GET', lock)
  if holder and wanted[holder] then
    redis.call('DEL', lock)
    redis.call('SREM', q.stalled, ids[i])
    redis.call('LREM', q.active, 1, ids[i])
    push_job(q, ids[i], priority_of(base .. ids[i]), true, 'active')
    back[#back + 1] = ids[i]
  end
end
if #back > 0 then wake_worker(q) end
return back
