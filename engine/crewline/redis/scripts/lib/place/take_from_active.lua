-- @include base/fields
-- Takes ids out of `active`. Those that began first are at its tail, and mostly end first: where the last is one of those
-- that end, as many are read there and cut off at once, which costs a third of one LREM each.
local tail, places, cut

local function read_active(ids)
  tail, places, cut = {}, {}, 0
  local last, ends = #ids >= 4 and redis.call('LINDEX', q.active, '-1'), false
  for i = 1, last and #ids or 0 do ends = ends or ids[i] == last end
  if not ends then return end
  tail = redis.call('LRANGE', q.active, '-' .. whole(#ids), '-1')
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
