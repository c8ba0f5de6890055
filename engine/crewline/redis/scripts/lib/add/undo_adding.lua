-- @include add/held_ids
-- @include base/fields
-- @include base/told_by
-- @include place/put_right
-- What a call had begun to add when Redis refused it: nothing of it is kept, so that a repeat does not take it for a job
-- that is there, and no child runs without its parent; a job that it was to replace has its
-- deduplication id again. `kept`: the key that it was kept in while another ran, where it stays. A job that can't be taken
-- out of where it waits stays there.
local function undo_adding(queue, id, kept)
  local job = queue.base .. id
  local parent = told_by({ 'HGET', job, 'parentKey' }) or unpack(told_by({ 'HMGET', job, 'parentKey' }) or {})
  for _, set in ipairs({ queue.delayed, queue.prioritized, queue.children }) do redis.pcall('ZREM', set, id) end
  for _, list in ipairs({ queue.wait, queue.paused }) do
    local from = end_near(list, id)
    if from and redis.pcall('LREM', list, from, id) == 1 and ends[list] then ends[list][id] = nil end
  end
  if stands(id, queue) then return end
  local held = held_ids[job]
  if held then
    local key, holder = held.key, held.earlier
    if redis.pcall('GET', key) == id then
      if not holder then redis.pcall('DEL', key)
      elseif held.left < 0 then redis.pcall('SET', key, holder)
      else redis.pcall('SET', key, holder, 'PX', whole(math.max(held.left, 1))) end
    end
    if holder then going[queue.base .. holder] = nil end
    if held.later then going[held.later] = nil end
    held.earlier, held.later = nil, nil
    held_ids[job] = nil
  end
  if kept then
    redis.pcall('RENAME', job, kept)
    return
  end
  if type(parent) == 'string' then redis.pcall('SREM', parent .. ':dependencies', job) end
  for _, key in ipairs({ job, job .. ':dependencies', job .. ':processed' }) do
    if type(redis.pcall('UNLINK', key)) ~= 'number' then redis.pcall('DEL', key) end
  end
end
