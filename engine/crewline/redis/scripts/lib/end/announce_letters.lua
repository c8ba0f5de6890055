-- @include base/queue_at
-- @include base/trim_events
-- @include place/wake_worker
-- Once a call that has written letters.
local function announce_letters(letters)
  local queue = queue_at(letters)
  wake_worker(queue)
  trim_events(queue)
end
