-- @include base/denied
-- Whether a job that holds a deduplication id brings what is kept until its end: it is there, has that id, and has not ended.
local function brings_kept(queue, holder, dedup_id)
  if type(holder) ~= 'string' then return false end
  -- pcall: the key may be anything
  local told = heed(redis.pcall('HMGET', queue.base .. holder, 'name', 'deid', 'finishedOn'))
  return told[1] and told[2] == dedup_id and not told[3]
end
