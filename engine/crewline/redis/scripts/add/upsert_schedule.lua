--[[ upsert_schedule: makes or changes a schedule and places its next iteration.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 schedule id, 3 job name, 4 data (JSON text), 5 template opts (JSON text), 6 iteration opts (JSON text)
         7 next    for cron: when it runs next, epoch ms; '' for every
         8 fields of the rule as JSON: {pattern | every, tz, startDate, endDate, limit, offset}
Returns  the id of the next iteration, of the last where the same rule is used up; '' if there is none before its end:
         then it is removed
Events   removed for the iteration that was planned before; added, delayed or waiting for the new one
Bound    one schedule: 4 ms a MB of its data; an iteration that is due is looked for in `wait`, which takes as long as
         that is
Why      A schedule whose rule did not change keeps its next iteration: deploying it again must not shift it. ]]
-- @include base/keys
-- @include base/clock
-- @include base/check_queue
-- @include base/trim_events
-- @include base/parse
-- @include base/fields
-- @include add/change_planned
-- @include add/check_planning
-- @include add/schedule_iteration
-- @include forget/forget_jobs
-- @include place/is_to_run
-- @include place/moving
-- @include place/remove_from_state

check_queue(q, true)
local schedule, rule = ARGV[2], parse(ARGV[8])
local key = base .. 'repeat:' .. schedule
local planned = redis.call('ZSCORE', base .. 'repeat', schedule)
local had = redis.call('HMGET', key, 'pattern', 'every', 'tz', 'startDate', 'endDate', 'limit', 'opts', 'ic')
local function text(value) return value and (type(value) == 'number' and whole(value) or tostring(value)) or false end
local same = planned and had[1] == text(rule.pattern) and had[2] == text(rule.every) and had[3] == text(rule.tz)
  and had[4] == text(rule.startDate) and had[5] == text(rule.endDate) and had[6] == text(rule.limit)
local current = planned and 'repeat:' .. schedule .. ':' .. whole(number(planned, 0)) or ''
check_planning(q, true)
trim_events(q)

-- its last job was due, and is gone by now
local used_up = same and number(planned, 0) <= now and (number(had[8], 0) >= number(rule.limit, 1e15)
  or number(planned, 0) + number(rule.every, 0) > number(rule.endDate, 1e15))
if same and (used_up or redis.call('EXISTS', base .. current) == 1) then
  redis.call('HSET', key, 'name', ARGV[3], 'data', ARGV[4], 'opts', ARGV[5])
  if redis.call('ZSCORE', q.delayed, current) then
    redis.call('HSET', base .. current, 'data', ARGV[4], 'name', ARGV[3])
    if had[7] ~= ARGV[5] then change_options(base .. current, parse(ARGV[6])) end
  end
  return current
end
-- one that was begun ends as it would
local goes = planned and redis.call('EXISTS', base .. current) == 1 and is_to_run(current)
local due = tonumber(ARGV[7])
if not due then
  due = next_of_every(nil, number(rule.every, 1000), number(rule.offset, 0), number(rule.startDate, 0))
  -- iterations that ran already keep their ids
  for _ = 1, 32 do
    local id = 'repeat:' .. schedule .. ':' .. whole(due)
    if (goes and id == current) or redis.call('EXISTS', base .. id) == 0 then break end
    due = due + number(rule.every, 1000)
  end
  if not rule.offset then rule.offset = due % number(rule.every, 1000) end
end
local ends = due > number(rule.endDate, due)
due = math.max(due, now)
local function place_next()
  if ends then
    redis.call('ZREM', base .. 'repeat', schedule)
    redis.call('UNLINK', key)
    return ''
  end
  local id = add_iteration(schedule, due, ARGV[3], ARGV[4], ARGV[6])
  redis.call('HDEL', key, 'pattern', 'every', 'tz', 'startDate', 'endDate', 'limit', 'offset')
  -- one that never ran does not count towards the schedule's limit
  redis.call('HSET', key, 'name', ARGV[3], 'data', ARGV[4], 'opts', ARGV[5],
    'ic', whole(math.max(number(had[8], 0) + (goes and 0 or 1), 1)))
  for field, value in pairs(rule) do redis.call('HSET', key, field, text(value)) end
  return id
end
if not goes then return place_next() end

return moving(q, { current }, to_its_state, function()
  local prev = remove_from_state(q, current)
  redis.call('XADD', q.events, '*', 'event', 'removed', 'jobId', current, 'prev', prev)
  -- two can't have one key
  local same_key = not ends and current == 'repeat:' .. schedule .. ':' .. whole(due)
  if same_key then forget_jobs(q, { current }, 'free') end
  local id = place_next()
  if not same_key then forget_jobs(q, { current }, 'free') end
  return id
end)
