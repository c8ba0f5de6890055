--[[ give_up_flow: takes away what there is of a large tree whose producer died while it added its parts.

KEYS     the root queue's declared keys (lib/base/keys.lua)
ARGV     1 base of the root's queue, 2 root, its id, 3 before, epoch milliseconds: no call for the tree came since then
Returns  {how many jobs were removed, 1 if there are more: call again, 2 if all of the tree is there: release_flow lets
         it go, and what was refused beside that, if anything was}
Events   removed, a job
Bound    80 jobs, fewer where they hold 32 MB
Why      Its producer never heard that it was added, and its jobs would wait for ever. A tree that is not whole must not
         run. What was there before the tree and only became a part of it stays, and so does what somebody has taken
         out of the tree since, and the delayed jobs that it was to replace. From the first call on no part can be added
         to it. ]]
-- @include base/keys
-- @include base/check_queue
-- @include base/denied
-- @include base/trim_events
-- @include base/queue_at
-- @include base/fields
-- @include forget/check_forget
-- @include forget/check_going
-- @include forget/forget_jobs
-- @include forget/last_to_go
-- @include add/flow_in_parts
-- @include place/moving

-- The job that this one was to replace has its deduplication id again, unless it has ended: then it is free.
local function give_id_back(queue, id, told)
  local _, holder, dedup_id = listed_as(queue, id, told)
  if not holder then return end
  local key = queue.base .. 'de:' .. dedup_id
  if heed(redis.pcall('GET', key)) ~= id then return end
  if redis.call('HEXISTS', queue.base .. holder, 'finishedOn') == 0 or redis.call('PTTL', key) >= 0 then
    redis.call('SET', key, holder, 'KEEPTTL')
  end
end

local touched = redis.call('ZSCORE', flows, ARGV[2])
if not touched or number(touched, 0) > tonumber(ARGV[3]) then return { 0, 0 } end
local phase = redis.call('LINDEX', flow, 0)
if phase == 'whole' then return { 0, 2 } end
if not phase then
  redis.call('ZREM', flows, ARGV[2])
  return { 0, 0 }
end
local count = math.min(redis.call('LLEN', flow) - 1, 240)
local jobs, queues, gone, first = count > 0 and redis.call('LRANGE', flow, -count, -1) or {}, {}, 0, 1
for i = 1, count, 3 do queues[jobs[i]] = queue_at(jobs[i]) end
for _, queue in pairs(queues) do check_queue(queue) end
for _, queue in pairs(queues) do check_forget(queue) end
for i = 1, count, 3 do check_going(queues[jobs[i]], jobs[i] .. jobs[i + 1]) end
redis.call('LSET', flow, 0, 'given up')
-- a root that was there before the tree stays, and no longer tells of one; pcall: it may be anything
redis.pcall('HDEL', base .. ARGV[2], 'flowSeed')
for i = count - 2, 1, -3 do
  local queue, id = queues[jobs[i]], jobs[i + 1]
  -- pcall: the key may be anything by now
  local score = redis.call('ZSCORE', queue.children, id)
  if heed(redis.pcall('SREM', queue.base .. id .. ':dependencies', hold)) == 1 and score then
    local last = last_to_go(queue.base .. id)
    local taken, why = pcall(moving, queue, { id }, function() return { 'ZADD', queue.children, score, id } end, function()
      redis.call('ZREM', queue.children, id)
      give_id_back(queue, id, jobs[i + 2])
      forget_jobs(queue, { id }, 'free')
    end)
    if not taken then
      redis.pcall('SADD', queue.base .. id .. ':dependencies', hold)
      error(why, 0)
    end
    redis.call('XADD', queue.events, '*', 'event', 'removed', 'jobId', id, 'prev', 'waiting-children')
    gone = gone + 1
    if last then
      first = i
      break
    end
  end
end
for _, queue in pairs(queues) do trim_events(queue) end
redis.call('LTRIM', flow, 0, first - count - 2)
return { gone, left_of_flow() > 0 and 1 or 0, refusals }
