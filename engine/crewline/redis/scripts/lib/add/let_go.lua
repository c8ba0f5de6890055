-- @include end/release_parent
-- @include place/says_lifo
-- Lets a job of a flow go that waits in `waiting-children` for nobody: a leaf comes to where add_jobs would have put it, a
-- parent runs, unless its children have not ended.
local function let_go(queue, id, leaf)
  local job = queue.base .. id
  if redis.call('EXISTS', job .. ':dependencies') == 1 then return end
  if not leaf then return release_parent(queue, id) end
  if redis.call('ZREM', queue.children, id) == 0 then return end
  local due, priority = due_of(job, true), priority_of(job)
  if due then return delay_job(queue, id, due) end
  -- pcall: the key may be anything by now
  local lifo = says_lifo(redis.pcall('HGET', job, 'opts'))
  push_job(queue, id, priority, lifo_place(lifo, priority), 'waiting-children')
end
