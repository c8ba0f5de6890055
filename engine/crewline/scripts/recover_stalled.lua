--[[ recover_stalled: gives jobs whose lease ran out to another worker.

KEYS     the queue's declared keys (lib/keys.lua)
ARGV     1 base
         2 interval  milliseconds; one check a queue in this time, whoever makes it
         3 most      how often a job may stall before it is failed
         4 gate      the "stalled-check" key
Returns  {ids put back, ids whose next fetch fails them}, or {} if another checked just now
Events   waiting (prev active) and stalled, a job
Why      Two looks make one verdict: an id must have been active at the last look and be without a lock now.
         A job that stalled too often is failed by the worker that fetches it next (field defa), as BullMQ does. ]]
-- @include keys
-- @include fields
-- @include push_job
-- @include trim_events

if not redis.call('SET', ARGV[4], '1', 'NX', 'PX', ARGV[2]) then return {} end
trim_events(k_meta, k_events)

local back, doomed = {}, {}
for _, id in ipairs(redis.call('SMEMBERS', k_stalled)) do
  local job = base .. id
  if redis.call('EXISTS', job .. ':lock') == 0 and redis.call('LREM', k_active, 1, id) > 0 then
    if redis.call('EXISTS', job) == 1 then
      local stalls = increment(job, 'stc')
      if stalls > tonumber(ARGV[3]) then
        redis.call('HSET', job, 'defa', 'job stalled more than allowable limit')
        doomed[#doomed + 1] = id
      else
        back[#back + 1] = id
      end
      redis.call('RPUSH', k_wait, id)
      redis.call('XADD', k_events, '*', 'event', 'waiting', 'jobId', id, 'prev', 'active')
      redis.call('XADD', k_events, '*', 'event', 'stalled', 'jobId', id)
    end
  end
end
if #back + #doomed > 0 then wake_worker(k_meta, k_active, k_marker) end

redis.call('DEL', k_stalled)
local active = redis.call('LRANGE', k_active, 0, -1)
for i = 1, #active, 1000 do
  redis.call('SADD', k_stalled, unpack(active, i, math.min(i + 999, #active)))
end
return { back, doomed }
