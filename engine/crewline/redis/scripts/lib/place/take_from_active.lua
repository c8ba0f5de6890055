-- Takes ids out of `active`. Where that holds few, it is read once and written anew: one LREM a job costs more.
local active_ids, active_order

local function read_active(count)
  active_ids = nil
  if count < 4 then return end
  local ids = redis.call('LRANGE', q.active, 0, 100)
  if #ids > 100 then return end
  active_ids, active_order = {}, ids
  for i = 1, #ids do active_ids[ids[i]] = i end
end

-- Whether it was there.
local function take_from_active(id)
  if not active_ids then return redis.call('LREM', q.active, -1, id) > 0 end
  local place = active_ids[id]
  active_ids[id] = nil
  return place ~= nil
end

-- Once all are taken.
local function write_active(taken)
  if not active_ids or taken == 0 then return end
  redis.call('DEL', q.active)
  local rest, n = {}, 0
  for i = 1, #active_order do
    local id = active_order[i]
    if active_ids[id] == i then
      n = n + 1
      rest[n] = id
    end
  end
  active_ids = nil
  if n == 0 then return end
  redis.call('RPUSH', q.active, unpack(rest))
end
