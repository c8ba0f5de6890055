--[[ release_flow: lets jobs of a large tree run that add_flow has added in parts.

KEYS     the root queue's declared keys (lib/base/keys.lua)
ARGV     1 base of the root's queue, 2 hold, as add_flow was given it
         then 3 a job: base of its queue, id, '1' if it has no children
Returns  how many were let go
Events   waiting or delayed, a job that has no children
Bound    100 jobs: called for a part of the tree after the other, once all parts are there
Why      A leaf comes to where add_jobs would have put it; a parent goes on to wait for its children. ]]
-- @include base/keys
-- @include base/clock
-- @include end/release_parent

local hold, queues, released = ARGV[2], {}, 0
for i = 3, #ARGV, 3 do
  local queue, id = queue_at(ARGV[i]), ARGV[i + 1]
  local job = queue.base .. id
  queues[queue.base] = queue
  if redis.call('SREM', job .. ':dependencies', hold) == 1 then
    released = released + 1
    if redis.call('EXISTS', job .. ':dependencies') == 1 then
      -- a parent, whose children have not ended
    elseif ARGV[i + 2] ~= '1' then
      release_parent(queue, id)
    elseif redis.call('ZREM', queue.children, id) == 1 then
      local delay, priority = number(redis.call('HGET', job, 'delay'), 0), priority_of(job)
      if delay > 0 then
        delay_job(queue, id, now + delay)
      else
        local lifo = parse(redis.call('HGET', job, 'opts')).lifo == true
        push_job(queue, id, priority, lifo_place(lifo, priority), 'waiting-children')
      end
    end
  end
end
for _, queue in pairs(queues) do
  if has_runnable(queue) then wake_worker(queue) end
  mark_next_due(queue)
  trim_events(queue)
end
return released
