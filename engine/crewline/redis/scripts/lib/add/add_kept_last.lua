-- @include add/add_job
-- The last of those that came while the job ran runs now (keepLastIfActive).
local function add_kept_last(dedup_id)
  local later = base .. 'dn:' .. dedup_id
  local kept = redis.call('HMGET', later, 'name', 'data', 'opts', 'pk', 'pd')
  if not kept[1] then return end
  redis.call('DEL', later)
  local opts = parse(kept[3])
  local de = type(opts.de) == 'table' and opts.de or { id = dedup_id }
  de.id = dedup_id
  local priority = math.min(math.max(number(opts.priority, 0), 0), 2097151)
  local _, place = add_job(q, '', kept[1], kept[2] or '{}', kept[3] or '{}', whole(math.max(number(opts.delay, 0), 0)),
    whole(priority), opts.lifo == true, { de = de, parentKey = kept[4], parent = kept[5] })
  if place == 'wait' then wake_worker(q) elseif place == 'delayed' then mark_next_due(q) end
end
