--[[ clean_jobs: deletes jobs of one state that are older than a time, a batch a call.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base
         2 state   completed, failed, delayed, prioritized, waiting-children, wait, paused or active
         3 before  epoch milliseconds: only jobs that finished (or were added) before
         4 limit   how many at most in this call
         5 skip    for lists and sets that keep jobs: how many of its entries were looked at and kept before
         6 drain   '1' where all that waits goes: no event, and what is kept until the end of one that goes, goes as well
Returns  {ids deleted, entries looked at and kept, and what was refused beside that, if anything was}
Events   cleaned; added, and waiting or delayed, of what was kept until then
Bound    limit: 200, fewer where they hold 32 MB; 50 that have a deduplication id
Why      Jobs under a lease and schedules' next iterations are kept, as BullMQ's clean does. ]]
-- @include base/keys
-- @include base/clock
-- @include base/check_queue
-- @include base/denied
-- @include base/fields
-- @include place/is_next_iteration
-- @include place/remove_from_list
-- @include place/mark_next_due
-- @include place/wake_worker
-- @include end/check_dedup
-- @include end/check_parent
-- @include forget/check_forget
-- @include forget/check_taking
-- @include forget/forget_jobs
-- @include forget/last_to_go
-- @include place/moving

-- Until the end of each of these another may be kept, which is added as they go.
local MOST_TIED = 50

check_queue(q)
local state, before, limit, skip, drain = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
if not drain and now <= before then
  -- what comes to wait since another goes is younger than all that goes, in the same millisecond, too
  now = before + 1
  stamp = whole(now)
end
local listed = state == 'wait' or state == 'active' or state == 'paused'
local finished = state == 'completed' or state == 'failed'
local source = base .. state
local ids
if listed then
  ids = redis.call('LRANGE', source, -skip - limit, -skip - 1)
elseif finished then
  ids = redis.call('ZRANGEBYSCORE', source, '-inf', whole(before), 'LIMIT', skip, limit)
else
  ids = redis.call('ZRANGE', source, skip, skip + limit - 1)
end

local tied, gone, places, scores, kept, looked_at = 0, {}, {}, {}, 0, nil
-- what is not looked at now is to be where the next call begins: a list is gone through from its tail
for n = 1, #ids do
  local i = listed and #ids + 1 - n or n
  local id, job = ids[i], base .. ids[i]
  local told = heed(redis.pcall('HMGET', job, 'timestamp', 'rjk', 'parentKey', 'parent', 'deid'))
  local young = not finished and number(told[1], 0) > before
  local scheduled = not finished and is_next_iteration(id, told[2])
  if young or scheduled or (state == 'active' and redis.call('EXISTS', job .. ':lock') == 1) then
    kept = kept + 1
  else
    if told[3] and told[3] ~= looked_at then check_parent(told[3], told[4]) end
    looked_at = told[3] or looked_at
    gone[#gone + 1] = id
    places[#places + 1] = i - #ids - 1 - skip
    scores[id] = not listed and redis.call('ZSCORE', source, id)
    if told[5] and not drain then
      check_dedup(q, told[5])
      tied = tied + 1
    end
    if last_to_go(job) or tied == MOST_TIED then break end
  end
end
if #gone > 0 then
  check_forget(q)
  check_taking(q)
  moving(q, gone, function(id)
    return listed and { 'RPUSH', source, id } or { 'ZADD', source, scores[id], id }
  end, function()
    if listed then remove_from_list(source, places, gone) else redis.call('ZREM', source, unpack(gone)) end
    forget_jobs(q, gone, drain and 'drop' or 'free')
  end)
  if state == 'active' and has_runnable(q) then wake_worker(q) end
  if state == 'delayed' then mark_next_due(q) end
  if not drain then redis.call('XADD', q.events, '*', 'event', 'cleaned', 'count', #gone) end
end
return { gone, kept, refusals }
