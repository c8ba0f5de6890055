--[[ obliterate_queue: deletes a queue with all that it holds, a batch a call.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 how many jobs and schedules at most in this call, 3 '1' to delete jobs under a lease too
Returns  1 done, 0 call again, -1 the queue is not paused, -2 jobs are active;
         {that, what was refused beside it} where something was
Events   none: the stream goes too; those of parents in other queues, which wait no longer
Bound    ARGV 2: 200, fewer where they hold 32 MB; workers and flows that we keep keys of count as well
Why      A paused queue only: workers that still fetch would go on with a queue that is gone. The counter of ids begins
         anew: a deduplication id that was kept would point at a stranger. Our own keys go as well; workers that live
         say so again within a second. ]]
-- @include base/keys
-- @include base/denied
-- @include base/fields
-- @include base/own_key
-- @include forget/check_forget
-- @include forget/check_parents
-- @include forget/forget_jobs
-- @include forget/last_to_go

local left = tonumber(ARGV[2])
if redis.call('HEXISTS', q.meta, 'paused') == 0 then return -1 end
if ARGV[3] ~= '1' and redis.call('LLEN', q.active) > 0 then return -2 end

check_forget(q)

-- The first ids of a key; of another type it has none, and goes.
local function ids_of(key, command, most)
  local ids = redis.pcall(command, key, 0, most - 1)
  if not heed(ids).err then return ids end
  redis.call('UNLINK', key)
  return {}
end

-- Parents in other queues are told.
local function check_all(ids)
  for i = 1, #ids do check_parent_of(base .. ids[i]) end
end

for _, list in ipairs({ q.active, q.wait, q.paused }) do
  local ids, more = those_to_go(base, ids_of(list, 'LRANGE', left))
  check_all(ids)
  if #ids > 0 then redis.call('LTRIM', list, #ids, -1) end
  forget_jobs(q, ids, 'drop', true)
  left = left - #ids
  if left <= 0 or more then return refusals and { 0, refusals } or 0 end
end
for _, set in ipairs({ q.prioritized, q.delayed, q.children, q.completed, q.failed }) do
  local ids, more = those_to_go(base, ids_of(set, 'ZRANGE', left))
  check_all(ids)
  if #ids > 0 then redis.call('ZREM', set, unpack(ids)) end
  forget_jobs(q, ids, 'drop', true)
  left = left - #ids
  if left <= 0 or more then return refusals and { 0, refusals } or 0 end
end
local schedules, gone, more = ids_of(base .. 'repeat', 'ZRANGE', left), {}, false
for i = 1, #schedules do
  local id = schedules[i]
  more = last_to_go(base .. 'repeat:' .. id)
  redis.call('UNLINK', base .. 'repeat:' .. id)
  gone[i] = id
  if more then break end
end
if #gone > 0 then redis.call('ZREM', base .. 'repeat', unpack(gone)) end
left = left - #gone
if left <= 0 or more then return refusals and { 0, refusals } or 0 end
for _, kind in ipairs({ 'worker', 'flow' }) do
  local index = own_key(q, kind .. 's')
  local names = ids_of(index, 'ZRANGE', left)
  for i = 1, #names do redis.call('UNLINK', own_key(q, kind .. ':' .. names[i])) end
  if #names > 0 then redis.call('ZREM', index, unpack(names)) end
  left = left - #names
  if left <= 0 then return refusals and { 0, refusals } or 0 end
end
for _, suffix in ipairs({ 'cancels', 'settings', 'sweep', 'sweep:completed', 'sweep:failed', 'kept:completed',
  'kept:failed', 'heal', 'looks', 'passed', 'runs', 'larger' }) do
  redis.call('UNLINK', own_key(q, suffix))
end
redis.call('UNLINK', base .. 'repeat', q.marker, q.events, q.stalled, q.limiter, q.counter, q.id, q.meta,
  base .. 'stalled-check', base .. 'metrics:completed', base .. 'metrics:completed:data', base .. 'metrics:failed',
  base .. 'metrics:failed:data')
return refusals and { 1, refusals } or 1
