--[[ release_flow: lets jobs of a large tree run that add_flow has added in parts.

KEYS     the root queue's declared keys (lib/base/keys.lua)
ARGV     1 base of the root's queue, 2 root, its id
Returns  how many are left: call again; -1 if nothing of it is held, or it was given up
Events   waiting or delayed, a job that has no children
Bound    100 jobs: called once all parts are there, until none is left
Why      A leaf comes to where add_jobs would have put it; a parent goes on to wait for its children. If its producer
         dies meanwhile, whoever calls this goes on. ]]
-- @include base/keys
-- @include base/clock
-- @include base/counts
-- @include base/parse
-- @include base/queue_at
-- @include end/release_parent
-- @include add/flow_in_parts
-- @include place/wake_queues

local phase, queues = redis.call('LINDEX', flow, 0), {}
if not phase or phase == 'given up' then return -1 end
touch_flow()
local jobs = redis.call('LRANGE', flow, 1, 300)
redis.call('LTRIM', flow, #jobs, -1)
redis.call('LSET', flow, 0, 'whole')
for i = 1, #jobs, 3 do
  local queue, id = queue_at(jobs[i]), jobs[i + 1]
  local job = queue.base .. id
  queues[queue.base] = queue
  if redis.call('SREM', job .. ':dependencies', hold) == 1 then
    if redis.call('EXISTS', job .. ':dependencies') == 1 then
      -- a parent, whose children have not ended
    elseif jobs[i + 2] ~= '1' then
      release_parent(queue, id)
    elseif redis.call('ZREM', queue.children, id) == 1 then
      local due, priority = due_of(job, true), priority_of(job)
      if due then
        delay_job(queue, id, due)
      else
        local lifo = parse(redis.call('HGET', job, 'opts')).lifo == true
        push_job(queue, id, priority, lifo_place(lifo, priority), 'waiting-children')
      end
    end
  end
end
wake_queues(queues)
return left_of_flow()
