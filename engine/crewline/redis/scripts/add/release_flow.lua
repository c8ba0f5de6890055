--[[ release_flow: lets jobs of a large tree run that add_flow has added in parts.

KEYS     the root queue's declared keys (lib/base/keys.lua)
ARGV     1 base of the root's queue, 2 root, its id
Returns  how many are left: call again; -1 if nothing of it is held, or it was given up
Events   waiting or delayed, a job that has no children
Bound    100 jobs: called once all parts are there, until none is left
Why      A leaf comes to where add_jobs would have put it; a parent goes on to wait for its children. If its producer
         dies meanwhile, whoever calls this goes on. ]]
-- @include base/keys
-- @include base/check_types
-- @include base/queue_at
-- @include base/check_queue
-- @include add/flow_in_parts
-- @include add/let_go
-- @include place/wake_queues

local phase, queues = redis.call('LINDEX', flow, 0), {}
if not phase or phase == 'given up' then return -1 end
local jobs = redis.call('LRANGE', flow, 1, 300)
for i = 1, #jobs, 3 do queues[jobs[i]] = queue_at(jobs[i]) end
for _, queue in pairs(queues) do check_queue(queue) end
touch_flow()
redis.call('LSET', flow, 0, 'whole')
for i = 1, #jobs, 3 do
  -- pcall: the key may be anything by now
  local waits = jobs[i] .. jobs[i + 1] .. ':dependencies'
  if redis.pcall('SREM', waits, hold) == 1 then
    local let, why = pcall(let_go, queues[jobs[i]], jobs[i + 1], jobs[i + 2] == '1')
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
