-- @include end/let_run
-- @include end/release_parent
-- Lets a job of a flow go that waits in `waiting-children` for nobody; one whose children have not ended waits on.
local function let_go(queue, id, leaf)
  if redis.call('EXISTS', queue.base .. id .. ':dependencies') == 1 then return end
  if leaf then let_run(queue, id, true) else release_parent(queue, id) end
end
