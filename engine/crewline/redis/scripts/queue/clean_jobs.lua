--[[ clean_jobs: deletes jobs of one state that are older than a time, a batch a call.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base
         2 state   completed, failed, delayed, prioritized, waiting-children, wait, paused or active
         3 before  epoch milliseconds: only jobs that finished (or were added) before
         4 limit   how many at most in this call
         5 skip    for lists and sets that keep jobs: how many of its entries were looked at and kept before
         6 quiet   '1' for no event, as a drain
Returns  {ids deleted, entries looked at and kept}
Events   cleaned
Why      Jobs under a lease and schedules' next iterations are kept, as BullMQ's clean does. ]]
-- @include base/keys
-- @include base/clock
-- @include forget/delete_jobs
-- @include end/release_parent
-- @include end/release_dedup_key

local state, before, limit, skip = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local listed = state == 'wait' or state == 'active' or state == 'paused'
local source = base .. state
local ids
if listed then
  ids = redis.call('LRANGE', source, -skip - limit, -skip - 1)
elseif state == 'completed' or state == 'failed' then
  ids = redis.call('ZRANGEBYSCORE', source, '-inf', whole(before), 'LIMIT', skip, limit)
else
  ids = redis.call('ZRANGE', source, skip, skip + limit - 1)
end

local gone, kept = {}, 0
for i = 1, #ids do
  local id, job = ids[i], base .. ids[i]
  local links = redis.call('HMGET', job, 'timestamp', 'rjk', 'parentKey', 'parent', 'deid')
  local finished = state == 'completed' or state == 'failed'
  local young = not finished and number(links[1], 0) > before
  local scheduled = links[2] and not finished and redis.call('ZSCORE', base .. 'repeat', links[2])
  if young or scheduled or (state == 'active' and redis.call('EXISTS', job .. ':lock') == 1) then
    kept = kept + 1
  else
    if listed then redis.call('LREM', source, 0, id) else redis.call('ZREM', source, id) end
    if links[3] then child_removed(links[3], links[4], job) end
    if links[5] then release_dedup(q, id, links[5]) end
    gone[#gone + 1] = id
  end
end
delete_jobs(base, gone)
if #gone > 0 then
  if ARGV[6] ~= '1' then redis.call('XADD', q.events, '*', 'event', 'cleaned', 'count', #gone) end
  trim_events(q)
end
return { gone, kept }
