-- Another queue's (a parent's, the dead letters'), which shares the hash slot.
local function queue_at(other)
  if other == base then return q end
  return {
    base = other, id = other .. 'id', wait = other .. 'wait', active = other .. 'active',
    prioritized = other .. 'prioritized', delayed = other .. 'delayed', completed = other .. 'completed',
    failed = other .. 'failed', marker = other .. 'marker', meta = other .. 'meta', events = other .. 'events',
    stalled = other .. 'stalled', limiter = other .. 'limiter', counter = other .. 'pc', paused = other .. 'paused',
    children = other .. 'waiting-children',
  }
end
