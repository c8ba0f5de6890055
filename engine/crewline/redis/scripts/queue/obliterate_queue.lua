--[[ obliterate_queue: deletes a queue with all that it holds, a batch a call.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 how many jobs at most in this call, 3 '1' to delete jobs under a lease too
Returns  1 done, 0 call again, -1 the queue is not paused, -2 jobs are active
Events   none: the stream goes too
Why      A paused queue only: workers that still fetch would go on with a queue that is gone. ]]
-- @include base/keys
-- @include forget/delete_jobs

local left = tonumber(ARGV[2])
if redis.call('HEXISTS', q.meta, 'paused') == 0 then return -1 end
if ARGV[3] ~= '1' and redis.call('LLEN', q.active) > 0 then return -2 end

for _, list in ipairs({ q.active, q.wait, q.paused }) do
  local ids = redis.call('LRANGE', list, 0, left - 1)
  delete_jobs(base, ids)
  redis.call('LTRIM', list, #ids, -1)
  left = left - #ids
  if left <= 0 then return 0 end
end
for _, set in ipairs({ q.prioritized, q.delayed, q.children, q.completed, q.failed }) do
  local ids = redis.call('ZRANGE', set, 0, left - 1)
  delete_jobs(base, ids)
  if #ids > 0 then redis.call('ZREM', set, unpack(ids)) end
  left = left - #ids
  if left <= 0 then return 0 end
end
for _, id in ipairs(redis.call('ZRANGE', base .. 'repeat', 0, -1)) do redis.call('DEL', base .. 'repeat:' .. id) end
redis.call('DEL', base .. 'repeat', q.marker, q.events, q.stalled, q.limiter, q.counter, q.id, q.meta,
  base .. 'stalled-check', base .. 'metrics:completed', base .. 'metrics:completed:data', base .. 'metrics:failed',
  base .. 'metrics:failed:data')
return 1
