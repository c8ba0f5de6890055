-- @include base/parse
-- @include base/fields
-- @include base/denied
-- @include add/add_job
-- @include end/brings_kept
-- @include place/mark_next_due
-- @include place/wake_worker
-- The last of those that came while the job ran runs now (keepLastIfActive), and holds the deduplication id, whatever
-- time to live that had, where the job that has ended held it.
local function add_kept_last(queue, ended, dedup_id)
  local later, held = queue.base .. 'dn:' .. dedup_id, queue.base .. 'de:' .. dedup_id
  local kept = redis.call('HMGET', later, 'name', 'opts', 'pk', 'pd', 'jid', 'due')
  if not kept[1] then return end
  -- pcall: a key of another type holds nothing
  local holder = heed(redis.pcall('GET', held))
  if holder == ended then
    redis.call('DEL', held)
  elseif brings_kept(queue, holder, dedup_id) then
    -- another has the id by now: it is that one's end that is waited for
    return
  end
  local opts = parse(kept[2])
  local de = type(opts.de) == 'table' and opts.de or { id = dedup_id }
  de.id = dedup_id
  local priority = math.min(math.max(number(opts.priority, 0), 0), 2097151)
  local id = kept[5] or ''
  if redis.call('EXISTS', queue.base .. id) == 1 then id = '' end
  local due = number(kept[6], nil)
  local delay = due and '@' .. whole(due) or whole(math.max(number(opts.delay, 0), 0))
  local extra = { de = de, parentKey = kept[3], parent = kept[4], kept = later }
  local _, place = add_job(queue, id, kept[1], nil, kept[2] or '{}', delay, whole(priority), opts.lifo == true, extra)
  local job = extra.taken
  if job then
    redis.call('HDEL', job, 'jid', 'pk', 'pd', 'pdk', 'due')
  elseif extra.kept then
    redis.call('DEL', later)
  end
  if place == 'wait' then wake_worker(queue) elseif place == 'delayed' then mark_next_due(queue) end
end
