-- @include base/trim_events
-- @include place/mark_next_due
-- @include place/wake_worker
-- Once a call that has put jobs into some queues, here by their bases: whoever waits there hears of them.
local function wake_queues(queues)
  for _, queue in pairs(queues) do
    if has_runnable(queue) then wake_worker(queue) end
    mark_next_due(queue)
    trim_events(queue)
  end
end
