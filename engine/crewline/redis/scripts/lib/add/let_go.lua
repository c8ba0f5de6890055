-- @include end/release_parent
-- Lets a job of a flow go that waits in `waiting-children` for nobody: a leaf comes to where add_jobs would have put it, a
-- parent runs, unless its children have not ended.
local function let_go(queue, id, leaf)
  local job = queue.base .. id
  if redis.call('EXISTS', job .. ':dependencies') == 1 then return end
  if not leaf then return release_parent(queue, id) end
  if redis.call('ZREM', queue.children, id) == 0 then return end
  -- pcall: the key may be anything by now
  local told = redis.pcall('HMGET', job, 'delay', 'opts')
  local delay, priority = number(told[1], 0), priority_of(job)
  if delay > 0 then return delay_job(queue, id, now + delay) end
  push_job(queue, id, priority, lifo_place(parse(told[2]).lifo == true, priority), 'waiting-children')
end
