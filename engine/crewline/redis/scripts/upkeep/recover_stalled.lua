--[[ recover_stalled: gives jobs whose lease ran out to another worker.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base
         2 interval  milliseconds; one check a queue in this time, whoever makes it
         3 most      how often a job may take its worker down before it is failed
         4 gate      the "stalled-check" key
Returns  {ids put back, ids whose next fetch fails them}, or {} if another checked just now
Events   waiting (prev active) and stalled, a job
Why      Two looks make one verdict: an id must have been active at the last look and be without a lock now.
         Every job of a worker that died is a suspect, and all but one are innocent: a suspect runs alone next
         (field suspect), and only a death while alone (field alone) counts. One that counted too often is failed by
         whoever fetches it next (field defa), as in BullMQ. ]]
-- @include base/keys
-- @include base/check_types
-- @include place/push_job
-- @include base/trim_events

if not redis.call('SET', ARGV[4], '1', 'NX', 'PX', ARGV[2]) then return {} end
trim_events(q)

if redis.call('TYPE', q.stalled).ok ~= 'set' then redis.call('DEL', q.stalled) end
local back, doomed = {}, {}
for _, id in ipairs(redis.call('SMEMBERS', q.stalled)) do
  local job = base .. id
  if redis.call('EXISTS', job .. ':lock') == 0 and redis.call('LREM', q.active, 1, id) > 0 then
    local alone = redis.pcall('HGET', job, 'alone')
    if type(alone) ~= 'table' and redis.call('EXISTS', job) == 1 then
      increment(job, 'stc')
      redis.call('HSET', job, 'suspect', '1')
      local crashes = number(redis.call('HGET', job, 'crashes'), 0)
      if alone then
        redis.call('HDEL', job, 'alone')
        crashes = increment(job, 'crashes')
      end
      if crashes >= tonumber(ARGV[3]) then
        redis.call('HSET', job, 'defa', 'job took its worker down ' .. crashes .. ' times')
        doomed[#doomed + 1] = id
      else
        back[#back + 1] = id
      end
      push_job(q, id, 0, true, 'active')
      redis.call('XADD', q.events, '*', 'event', 'stalled', 'jobId', id)
    end
  end
end
if #back + #doomed > 0 then wake_worker(q) end

redis.call('DEL', q.stalled)
local active = redis.call('LRANGE', q.active, 0, -1)
for i = 1, #active, 1000 do
  redis.call('SADD', q.stalled, unpack(active, i, math.min(i + 999, #active)))
end
return { back, doomed }
