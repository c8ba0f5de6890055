--[[ replay_dead_letter: puts a dead job back into the queue it came from, once.

KEYS     the origin queue's declared keys (lib/base/keys.lua)
ARGV     1 base of the origin, 2 id of the job, 3 base of the dead-letter queue, 4 id of the letter,
         5 name, 6 data (JSON text), 7 opts (JSON text), 8 priority
         9 count, 10 age   how many replayed letters are kept, and for how many seconds; '' for no bound
Returns  1 put back, 0 the letter was replayed before or is gone, or goes now since its job has been done meanwhile,
         -3 the job is not in `failed` (it runs again already);
         {1, what was refused beside that} where something was
Events   waiting (prev failed), or added and waiting, at the origin; completed, or removed, at the dead letters
Bound    one letter: 4 ms a MB of its data; 100 old ones to prune, fewer of large ones; it is looked for among those that
         wait, which takes as long as they are many
Why      The letter goes to `completed` of its queue with the job's id as its result, and the job keeps the letter's
         id: both ends can be followed, and a second replay of the same letter finds it gone from `wait`.
         A child that was removed is added anew, for its parent if that still waits for others. ]]
-- @include base/keys
-- @include base/clock
-- @include base/check_queue
-- @include base/trim_events
-- @include base/parse
-- @include base/queue_at
-- @include base/fields
-- @include forget/retain_jobs
-- @include place/forget_end
-- @include place/moving
-- @include place/rerun_job
-- @include place/says_lifo
-- @include place/wake_worker
-- @include add/add_job
-- @include add/check_undoing
-- @include end/drop_letter

local id, letters, letter_id = ARGV[2], queue_at(ARGV[3]), ARGV[4]
local job, letter = base .. id, letters.base .. letter_id
check_queue(q, true)
check_queue(letters)
local list = redis.call('LPOS', letters.wait, letter_id) and letters.wait or letters.paused
if redis.call('EXISTS', letter) == 0 or not redis.call('LPOS', list, letter_id) then return 0 end
local kind = redis.call('TYPE', job).ok
local kept = kind == 'hash'
-- a key of another type under the job's id: nothing can be put back there
if not kept and kind ~= 'none' then return -3 end
check_undoing(q)
local failed = kept and redis.call('ZSCORE', q.failed, id)
if kept and not failed then
  if not redis.call('ZSCORE', q.completed, id) then return -3 end
  drop_letter(letters, list, letter_id)
  return 0
end
-- what comes after the job runs again is asked before: the letter would wait on, and run it once more
if kept then redis.call('HSET', job, 'deadLetterId', letter_id) end
redis.call('HDEL', letter, '')
redis.call('ZADD', letters.completed, 'XX', stamp, letter_id)

-- What ties a child to its parent, as its options tell it; nil where that does not wait.
local function parent_again(_, opts)
  local parent = type(opts.parent) == 'table' and opts.parent or {}
  if type(parent.queue) ~= 'string' or type(parent.id) ~= 'string' then return nil end
  local owner = queue_at(parent.queue .. ':')
  if not redis.call('ZSCORE', owner.children, parent.id) then return nil end
  redis.call('SCARD', owner.base .. parent.id .. ':dependencies')
  local link = { id = parent.id, queueKey = parent.queue }
  for _, policy in ipairs({ 'fpof', 'cpof', 'idof', 'rdof' }) do link[policy] = opts[policy] end
  return { parentKey = owner.base .. parent.id, parent = cjson.encode(link) }
end

local function not_ended(parent)
  if redis.call('SISMEMBER', parent .. ':dependencies', job) == 1 then forget_end(parent, job) end
end

local function run_again()
  redis.call('ZREM', q.failed, id)
  rerun_job(id, 'failed', true, says_lifo(redis.call('HGET', job, 'opts')))
end

local result = '{"replayedAs":' .. cjson.encode(id) .. '}'
moving(letters, { letter_id }, function() return { 'RPUSH', list, letter_id } end, function()
  redis.call('LREM', list, 1, letter_id)
  if kept then
    moving(q, { id }, function() return { 'ZADD', q.failed, failed, id } end, run_again)
  else
    local tie = attempt(parent_again, job, parse(ARGV[7]))
    add_job(q, id, ARGV[5], ARGV[6], ARGV[7], '0', ARGV[8], says_lifo(ARGV[7]), tie)
    if tie then attempt(not_ended, tie.parentKey) end
    redis.call('HSET', job, 'deadLetterId', letter_id)
  end
  redis.call('HSET', letter, 'returnvalue', result, 'finishedOn', stamp)
  redis.call('ZADD', letters.completed, stamp, letter_id)
end)
local function tell()
  redis.call('XADD', letters.events, '*', 'event', 'completed', 'jobId', letter_id, 'returnvalue', result, 'prev', 'waiting')
end
attempt(wake_worker, q, q.marker)
attempt(trim_events, q, q.events)
attempt(tell, letters.events)
attempt(retain_jobs, letters, 'completed', ARGV[9], ARGV[10], 100)
return refusals and { 1, refusals } or 1
