-- For a call that Redis has refused half-way, since its user may not all that it needs any more: what was done stays, and
-- an id that it was about to move may be in no state, or in `active` and another. Nothing here raises: what else is
-- refused is left out.

-- The list that an id was pushed to, and at which end (1 or -1, as LREM counts), of those at the ends of a queue's: read
-- once, since many ids may be asked for. `unread`: Redis did not let them be read.
local ends = {}
local function ends_of(queue)
  if not ends[queue.base] then
    local at = {}
    for _, list in ipairs({ queue.wait, queue.paused }) do
      for from, ids in pairs({
        [1] = redis.pcall('LRANGE', list, 0, 999), [-1] = redis.pcall('LRANGE', list, -1000, -1),
      }) do
        if ids.err then at.unread = true end
        for i = 1, #ids do at[ids[i]] = { list, from } end
      end
    end
    ends[queue.base] = at
  end
  return ends[queue.base]
end

local function stands(id, queue)
  for _, set in ipairs({ queue.delayed, queue.prioritized, queue.completed, queue.failed, queue.children }) do
    if type(redis.pcall('ZSCORE', set, id)) == 'string' then return true end
  end
  local at = ends_of(queue)
  if at[id] or not at.unread then return at[id] ~= nil end
  for _, list in ipairs({ queue.wait, queue.paused }) do
    for rank = -1, 1, 2 do
      if type(redis.pcall('LPOS', list, id, 'RANK', rank, 'MAXLEN', 1000)) == 'number' then return true end
    end
  end
  return false
end

-- Whether the command that puts a job where it belongs was carried out.
local function placed(queue, id, goes)
  if type(redis.pcall(unpack(goes))) ~= 'number' then return false end
  ends_of(queue)[id] = { goes[2], 1 }
  return true
end

-- Sees to it that a job is in one state; `goes`: the command that puts it where it belongs if it is in none, nil for
-- `active`.
local function put_right(id, goes)
  local active = redis.pcall('LPOS', q.active, id)
  if redis.pcall('EXISTS', base .. id) ~= 1 or (active and type(active) ~= 'number') then return end
  local stood = stands(id, q)
  if active and (stood or goes) and redis.pcall('LREM', q.active, 1, id) ~= 1 then return end
  if stood or (active and not goes) or (goes and placed(q, id, goes)) then return end
  if type(redis.pcall('RPUSH', q.active, id)) ~= 'number' then redis.pcall('LPUSH', q.active, id) end
end

-- As put_right, for a job that was not active: `goes` puts it where it was.
local function put_back(queue, id, goes)
  if redis.pcall('EXISTS', queue.base .. id) ~= 1 or stands(id, queue) then return end
  if placed(queue, id, goes) then return end
  -- from where it comes back as one that lost its worker
  if type(redis.pcall('RPUSH', queue.active, id)) ~= 'number' then redis.pcall('LPUSH', queue.active, id) end
end
