-- @include base/clock
-- @include base/counts
-- @include base/denied
-- @include base/fields
-- @include place/delay_job
-- @include place/push_job
-- @include place/says_lifo
-- Takes a job out of `waiting-children` to where it runs from: a parent goes before those that wait, its delay counts from
-- now, if it is no moment that was given. A leaf of a flow that was added in parts (`as_added`) comes to where add_jobs
-- would have put it, its delay counts from then. Returns `wait` or `delayed`, for the caller to wake those that wait there;
-- nil where it was taken out before.
local function let_run(queue, id, as_added)
  if not redis.call('ZSCORE', queue.children, id) then return nil end
  -- no job has that id: a job in another queue may be nobody's whom Redis lets do this, which shows before it is moved
  redis.call('ZREM', queue.children, '')
  local job, place = queue.base .. id, 'wait'
  -- pcall: the key may be anything by now
  local told = heed(redis.pcall('HMGET', job, 'delay', 'due', 'timestamp', 'opts'))
  local delay, moment = number(told[1], 0), number(told[2], nil)
  local due = moment or (as_added and number(told[3], now) or now) + delay
  if delay > 0 and due > now then
    delay_job(queue, id, due)
    place = 'delayed'
  else
    local priority = priority_of(job)
    if delay > 0 then redis.call('HSET', job, 'delay', '0') end
    push_job(queue, id, priority, lifo_place(not as_added or says_lifo(told[4]), priority), 'waiting-children')
  end
  redis.call('ZREM', queue.children, id)
  -- pcall: it has been moved, and nobody reads this any more
  if moment then redis.pcall('HDEL', job, 'due') end
  return place
end
