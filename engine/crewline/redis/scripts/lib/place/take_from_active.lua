-- @include base/fields
-- Takes ids out of `active`. Those that began first are at its tail, and mostly end first: as many as end are read there
-- and cut off at once, where one LREM each costs more.
local tail, places, cut

local function read_active(count)
  tail, places, cut = {}, {}, 0
  if count < 4 then return end
  tail = redis.call('LRANGE', q.active, '-' .. whole(count), '-1')
  for i = 1, #tail do places[tail[i]] = i end
end

-- Whether it was there.
local function take_from_active(id)
  local place = places[id]
  if not place then
    -- one that was taken already is still in the list
    return place == nil and redis.call('LREM', q.active, '-1', id) > 0
  end
  places[id], cut = false, cut + 1
  return true
end

-- Once all are taken.
local function write_active()
  if cut == 0 then return end
  redis.call('LTRIM', q.active, '0', '-' .. whole(#tail + 1))
  local rest = {}
  for i = 1, #tail do
    if places[tail[i]] == i then rest[#rest + 1] = tail[i] end
  end
  if #rest > 0 then redis.call('RPUSH', q.active, unpack(rest)) end
end
