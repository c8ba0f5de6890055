-- @include base/told_by
-- For a call that Redis has refused half-way, since its user may not all that it needs any more: what was done stays, and
-- an id that it was about to move may be in no state, or in `active` and another. Nothing here raises: what else is
-- refused is left out. Where Redis does not tell whether an id is anywhere, it is put where it belongs.

-- The end of a list that each id is near, 1 or -1 as LREM counts: read once, since many ids may be asked for; nil where
-- Redis did not let it be read.
local ends = {}
local function ends_of(list)
  if ends[list] == nil then
    local at = {}
    for from, ids in pairs({
      [1] = redis.pcall('LRANGE', list, 0, 999), [-1] = redis.pcall('LRANGE', list, -1000, -1),
    }) do
      if ids.err then at = false end
      for i = 1, at and #ids or 0 do at[ids[i]] = from end
    end
    ends[list] = at
  end
  return ends[list] or nil
end

-- The end of a list that an id is near, or false; what a call has pushed there is.
local function end_near(list, id)
  local at = ends_of(list)
  if at then return at[id] or false end
  for from = -1, 1, 2 do
    if type(redis.pcall('LPOS', list, id, 'RANK', from, 'MAXLEN', 1000)) == 'number' then return from end
  end
  return false
end

local function stands(id, queue)
  for _, set in ipairs({ queue.delayed, queue.prioritized, queue.completed, queue.failed, queue.children }) do
    if told_by({ 'ZSCORE', set, id }, { 'ZRANK', set, id }) then return true end
  end
  return (end_near(queue.wait, id) or end_near(queue.paused, id)) and true
end

-- Whether an id is active; nil where Redis does not tell.
local function is_active(id)
  local place = told_by({ 'LPOS', q.active, id })
  if place ~= nil then return place ~= false end
  local at = ends_of(q.active)
  return at and at[id] ~= nil
end

-- Whether the command that puts a job where it belongs was carried out.
local function placed(queue, id, goes)
  if type(redis.pcall(unpack(goes))) ~= 'number' then return false end
  if ends[goes[2]] then ends[goes[2]][id] = -1 end
  return true
end

local function push_active(queue, id)
  if type(redis.pcall('RPUSH', queue.active, id)) ~= 'number' then redis.pcall('LPUSH', queue.active, id) end
end

-- Sees to it that a job is in one state; `goes`: the command that puts it where it belongs if it is in none, nil for
-- `active`.
local function put_right(id, goes)
  if is_gone(base .. id) then return end
  local active, stood = is_active(id), stands(id, q)
  -- nobody can tell: it is there no more once it is taken out
  if active == nil or (active and (stood or goes)) then
    local left = redis.pcall('LREM', q.active, 1, id)
    if active and left ~= 1 then return end
    active = false
  end
  if stood or (active and not goes) or (goes and placed(q, id, goes)) then return end
  push_active(q, id)
end

-- As put_right, for a job that was not active: `goes` puts it where it was, and if that is refused it goes to `active`,
-- from where it comes back as one that lost its worker.
local function put_back(queue, id, goes)
  if is_gone(queue.base .. id) or stands(id, queue) or placed(queue, id, goes) then return end
  push_active(queue, id)
end
