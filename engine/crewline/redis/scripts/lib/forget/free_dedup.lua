-- @include base/denied
-- @include end/brings_kept
-- A job goes before it has ended that may be the last for whose end another is kept (keepLastIfActive): its deduplication
-- id is free again, and what was kept runs, unless another job holds the id that will bring it. Where the id's time is
-- over nobody can tell who else has it: then it runs, since nothing would bring it once the last is gone. `drops`: it goes
-- as well, as all that waits.
local function free_dedup(queue, id, dedup_id, drops)
  local held, later = queue.base .. 'de:' .. dedup_id, queue.base .. 'dn:' .. dedup_id
  local holder = heed(redis.pcall('GET', held))
  if holder == id then redis.call('UNLINK', held) end
  if drops then
    if holder == id or not brings_kept(queue, holder, dedup_id) then redis.call('UNLINK', later) end
  elseif redis.call('EXISTS', later) == 1 then
    -- @include add/add_kept_last
    add_kept_last(queue, id, dedup_id)
  end
end
