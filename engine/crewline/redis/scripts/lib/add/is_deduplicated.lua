-- @include base/fields
-- @include forget/check_forget
-- @include forget/check_parents
-- @include add/held_ids
-- @include base/denied
-- Gives a deduplication id to a job. Where the last that comes while it runs is kept, it is held for as long as that
-- takes, as in BullMQ.
local function hold_dedup_id(key, de, id)
  local ttl = number(de.ttl, 0)
  if ttl > 0 and not de.keepLastIfActive then redis.call('SET', key, id, 'PX', ttl) else redis.call('SET', key, id) end
end

local function keep_for_later(queue, id, name, data, opts, de, delay, moment)
  local later = queue.base .. 'dn:' .. de.id
  -- who may not store it is refused before the one goes that was kept: no hash, so that nothing changes
  heed(redis.pcall('HSET', queue.base .. 'de:' .. de.id, '', ''))
  redis.call('DEL', later)
  if moment then
    -- BullMQ goes by the options alone: late there, but not at once
    opts = string.sub(opts, 1, -2) .. (opts == '{}' and '' or ',') .. '"delay":' .. delay .. '}'
    redis.call('HSET', later, 'due', moment)
  end
  redis.call('HSET', later, 'name', name, 'data', data, 'opts', opts, 'jid', id)
  redis.call('PERSIST', queue.base .. 'de:' .. de.id)
end

-- True, and by whom, if another job holds the deduplication id, and this one is not to be added. `delay` in ms is what is
-- left until `moment`, the absolute time that it was given, if any.
local function is_deduplicated(queue, id, name, data, opts, extra, delay, moment)
  local de = extra.de
  local key = queue.base .. 'de:' .. de.id
  -- pcall: a key of another type holds nothing
  local holder = heed(redis.pcall('GET', key))
  if type(holder) == 'table' then holder = false end
  -- a stranger with the holder's id holds nothing, nor does one that is gone (removed by a client that does not know the
  -- key), unless its time has yet to pass: a throttle holds whatever became of the job
  if holder and heed(redis.pcall('HGET', queue.base .. holder, 'deid')) ~= de.id
    and (redis.call('EXISTS', queue.base .. holder) == 1 or redis.call('PTTL', key) < 0) then holder = false end
  local held = { queue = queue, key = key }
  if not holder then
    hold_dedup_id(key, de, id)
    held_ids[queue.base .. id] = held
    return false
  end
  local later = queue.base .. 'dn:' .. de.id
  if de.replace and redis.call('ZSCORE', queue.delayed, holder) then
    -- who may not take it away is refused here, where nothing has changed
    redis.call('ZREM', queue.delayed, '')
    check_forget(queue)
    check_parent_of(queue.base .. holder)
    redis.call('XADD', queue.events, '*', 'event', 'deduplicated', 'jobId', id,
      'deduplicationId', de.id, 'deduplicatedJobId', holder)
    held.earlier, held.left, held.later = holder, redis.call('PTTL', key), not extra.kept and later or nil
    -- the last that changes anything here: what is refused from here on is undone
    if de.extend or de.keepLastIfActive or held.left < 0 then hold_dedup_id(key, de, id)
    else redis.call('SET', key, id, 'KEEPTTL') end
    held_ids[queue.base .. id] = held
    if extra.in_parts then
      extra.replaces = holder
      return false
    end
    going[queue.base .. holder], replacing[#replacing + 1] = true, held
    if held.later then going[later] = true end
    return false
  elseif extra.kept and de.keepLastIfActive and redis.call('LPOS', queue.active, holder) then
    -- it stays where it is
    extra.kept = nil
    redis.call('PERSIST', key)
  elseif not extra.kept and de.keepLastIfActive
    -- one is kept since it ran, and failed: that would run last, though this one is newer. BullMQ has it so
    and (redis.call('LPOS', queue.active, holder) or (not going[later] and redis.call('EXISTS', later) == 1)) then
    keep_for_later(queue, id, name, data, opts, de, delay, moment)
  elseif de.extend and number(de.ttl, 0) > 0 then
    -- one that has ended, or is gone, does so no more: it holds the id for a time only
    if redis.call('EXISTS', queue.base .. holder) == 0 or redis.call('ZSCORE', queue.completed, holder)
      or redis.call('ZSCORE', queue.failed, holder) then
      redis.call('SET', key, holder, 'PX', number(de.ttl, 0))
    else
      hold_dedup_id(key, de, holder)
    end
  end
  redis.call('XADD', queue.events, '*', 'event', 'deduplicated', 'jobId', holder,
    'deduplicationId', de.id, 'deduplicatedJobId', id)
  return true, holder
end
