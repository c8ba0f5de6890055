--[[ retry_jobs: runs all failed (or completed) jobs again, a batch a call.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 "failed" or "completed", 3 the newest end that counts, epoch ms, 4 how many at most,
         5 '1' to give them all their attempts again
Returns  how many wait again; call until 0; {that, what was refused beside it} where something was
Events   waiting (prev failed or completed), a job
Bound    ARGV 4: 200, fewer where their options are 100 kB
Why      A bounded batch: a million failed jobs must not hold Redis up. ]]
-- @include base/keys
-- @include base/check_queue
-- @include base/denied
-- @include base/fields
-- @include base/trim_events
-- @include place/check_moving
-- @include place/moving
-- @include place/rerun_job
-- @include place/says_lifo
-- @include place/wake_worker

check_queue(q)
local finished = ARGV[2] == 'completed' and q.completed or q.failed
local found = redis.call('ZRANGEBYSCORE', finished, '-inf', ARGV[3], 'WITHSCORES', 'LIMIT', 0, ARGV[4])
if #found == 0 then return 0 end
local ids, ended = {}, {}
for i = 1, #found, 2 do
  ids[#ids + 1] = found[i]
  ended[found[i]] = found[i + 1]
end
local lifo, read = {}, 0
while #lifo < #ids and read < 100000 do
  -- pcall: the key may be anything
  local opts = heed(redis.pcall('HGET', base .. ids[#lifo + 1], 'opts'))
  lifo[#lifo + 1] = says_lifo(opts)
  read = read + (type(opts) == 'string' and #opts or 0)
end
ids = { unpack(ids, 1, #lifo) }
check_moving(q)
trim_events(q)
moving(q, ids, function(id) return { 'ZADD', finished, ended[id], id } end, function()
  redis.call('ZREM', finished, unpack(ids))
  for i = 1, #ids do
    -- what is no job has nothing to run, and must not hold up the rest
    if redis.call('TYPE', base .. ids[i]).ok == 'hash' then rerun_job(ids[i], ARGV[2], ARGV[5] == '1', lifo[i]) end
  end
end)
wake_worker(q)
return refusals and { #ids, refusals } or #ids
