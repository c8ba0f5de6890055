-- @include place/mark_next_due
-- @include place/wake_worker
-- The command that puts back the last id that was taken out of its state; nil until it is out.
local back_again
local function to_its_state() return back_again end

-- Takes an id out of whatever state it is in; returns that state's name as BullMQ's events say it. The lists come last:
-- to look through one takes as long as it is. Called in `moving`, with `to_its_state`.
local function remove_from_state(queue, id)
  back_again = nil
  for _, state in ipairs({ 'delayed', 'completed', 'failed', 'children', 'prioritized' }) do
    local score = redis.call('ZSCORE', queue[state], id)
    if score then
      redis.call('ZREM', queue[state], id)
      back_again = { 'ZADD', queue[state], score, id }
      if state == 'delayed' then mark_next_due(queue) end
      return state == 'children' and 'waiting-children' or state
    end
  end
  for _, state in ipairs({ 'active', 'wait', 'paused' }) do
    if redis.call('LREM', queue[state], 1, id) > 0 then
      back_again = { 'RPUSH', queue[state], id }
      -- under a global limit there is a place now
      if state == 'active' and has_runnable(queue) then wake_worker(queue) end
      return state
    end
  end
  return 'unknown'
end
