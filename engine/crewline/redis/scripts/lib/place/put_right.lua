-- For a call that Redis has refused half-way, since its user may not all that it needs any more: what was done stays, and
-- an id that it was about to move may be in no state, or in `active` and another. Nothing here raises: what else is
-- refused is left out.
local function stands(id, queue, most)
  for _, set in ipairs({ queue.delayed, queue.prioritized, queue.completed, queue.failed, queue.children }) do
    if type(redis.pcall('ZSCORE', set, id)) == 'string' then return true end
  end
  -- it came to an end of these
  for _, list in ipairs({ queue.wait, queue.paused }) do
    for rank = -1, 1, 2 do
      if type(redis.pcall('LPOS', list, id, 'RANK', rank, 'MAXLEN', most)) == 'number' then return true end
    end
  end
  return false
end

-- Sees to it that a job is in one state; `goes`: the command that puts it where it belongs if it is in none, nil for
-- `active`.
local function put_right(id, goes)
  local active = redis.pcall('LPOS', q.active, id)
  if redis.pcall('EXISTS', base .. id) ~= 1 or (active and type(active) ~= 'number') then return end
  local stood = stands(id, q, 1000)
  if active and (stood or goes) and redis.pcall('LREM', q.active, 1, id) ~= 1 then return end
  if stood or (active and not goes) or (goes and type(redis.pcall(unpack(goes))) == 'number') then return end
  if type(redis.pcall('RPUSH', q.active, id)) ~= 'number' then redis.pcall('LPUSH', q.active, id) end
end

-- As put_right, for a job that was not active: `goes` puts it where it was.
local function put_back(queue, id, goes)
  if redis.pcall('EXISTS', queue.base .. id) ~= 1 or stands(id, queue, 300) then return end
  if type(redis.pcall(unpack(goes))) == 'number' then return end
  -- from where it comes back as one that lost its worker
  if type(redis.pcall('RPUSH', queue.active, id)) ~= 'number' then redis.pcall('LPUSH', queue.active, id) end
end
