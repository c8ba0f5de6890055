--[[ release_flow: lets jobs of a large tree run that add_flow has added in parts.

KEYS     the root queue's declared keys (lib/base/keys.lua)
ARGV     1 base of the root's queue, 2 root, its id
Returns  how many are left: call again; -1 if it was given up, or nothing of it is held and its root is gone
Events   removed, a delayed job that one of these replaces; waiting or delayed, a job that has no children
Bound    100 jobs, fewer where what they replace holds 32 MB: called once all parts are there, until none is left
Why      A leaf comes to where add_jobs would have put it; a parent goes on to wait for its children. If its producer
         dies meanwhile, whoever calls this goes on. ]]
-- @include base/keys
-- @include base/check_types
-- @include base/queue_at
-- @include base/check_queue
-- @include base/denied
-- @include add/flow_in_parts
-- @include add/forget_replaced
-- @include add/held_ids
-- @include add/let_go
-- @include forget/check_forget
-- @include forget/check_parents
-- @include forget/last_to_go
-- @include place/wake_queues

local phase, queues = redis.call('LINDEX', flow, 0), {}
if not phase then return redis.call('EXISTS', base .. ARGV[2]) - 1 end
if phase == 'given up' then return -1 end
local jobs = redis.call('LRANGE', flow, 1, 300)
for i = 1, #jobs, 3 do queues[jobs[i]] = queue_at(jobs[i]) end
for _, queue in pairs(queues) do check_queue(queue) end
touch_flow()
redis.call('LSET', flow, 0, 'whole')
-- what these replace goes before they run; one that has begun meanwhile is not replaced
for i = 1, #jobs, 3 do
  local queue = queues[jobs[i]]
  local _, holder, dedup_id = listed_as(queue, jobs[i + 1], jobs[i + 2])
  if holder and redis.call('ZSCORE', queue.delayed, holder) then
    check_forget(queue)
    check_parent_of(queue.base .. holder)
    replacing[#replacing + 1] = { queue = queue, earlier = holder, later = queue.base .. 'dn:' .. dedup_id }
    if last_to_go(queue.base .. holder) then
      for n = #jobs, i + 3, -1 do jobs[n] = nil end
      break
    end
  end
end
forget_replaced()
for i = 1, #jobs, 3 do
  -- pcall: the key may be anything by now
  local waits = jobs[i] .. jobs[i + 1] .. ':dependencies'
  if heed(redis.pcall('SREM', waits, hold)) == 1 then
    local let, why = pcall(let_go, queues[jobs[i]], jobs[i + 1], string.byte(jobs[i + 2]) == 49)
    if not let then
      -- the next call lets it go
      redis.call('SADD', waits, hold)
      error(why, 0)
    end
  end
end
wake_queues(queues)
redis.call('LTRIM', flow, #jobs, -1)
redis.call('LSET', flow, 0, 'whole')
return left_of_flow()
