-- @include place/put_right
-- What a call had begun to add when Redis refused it: nothing of it is kept, so that a repeat does not take it for a job
-- that is there, and no child runs without its parent. `kept`: the key that it was kept in while another ran, where it
-- stays. A job that can't be taken out of where it waits stays there.
local function undo_adding(queue, id, kept)
  local job = queue.base .. id
  local links = redis.pcall('HMGET', job, 'parentKey', 'deid')
  for _, set in ipairs({ queue.delayed, queue.prioritized, queue.children }) do redis.pcall('ZREM', set, id) end
  local at = ends_of(queue)
  local place = at[id]
  if place and redis.pcall('LREM', place[1], place[2], id) == 1 then at[id] = nil end
  if stands(id, queue) then return end
  if kept then
    redis.pcall('RENAME', job, kept)
    return
  end
  if links[1] then redis.pcall('SREM', links[1] .. ':dependencies', job) end
  local held = links[2] and queue.base .. 'de:' .. links[2]
  if held and redis.pcall('GET', held) == id then redis.pcall('DEL', held) end
  for _, key in ipairs({ job, job .. ':dependencies', job .. ':processed' }) do
    if type(redis.pcall('UNLINK', key)) ~= 'number' then redis.pcall('DEL', key) end
  end
end
