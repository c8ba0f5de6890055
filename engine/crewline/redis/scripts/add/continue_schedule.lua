--[[ continue_schedule: places the iteration after the one that was just fetched.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 schedule id, 3 id of the iteration that was fetched
         4 next    for cron: when it runs next, epoch ms; '' for every
         5 opts of the next iteration (JSON text)
Returns  its id, or '' if another worker placed it, the schedule is gone, or it would be after its end
Events   added, delayed or waiting
Bound    one iteration: 4 ms a MB of its data
Why      There is no scheduler process: whoever fetches an iteration plans the next. Only the iteration that the schedule
         points at may, so that two workers never plan it twice. ]]
-- @include base/keys
-- @include base/check_queue
-- @include base/trim_events
-- @include base/counts
-- @include base/fields
-- @include add/check_planning
-- @include add/schedule_iteration

check_queue(q, true)
local schedule = ARGV[2]
local key = base .. 'repeat:' .. schedule
local planned = number(redis.call('ZSCORE', base .. 'repeat', schedule), 0)
if planned == 0 or ARGV[3] ~= 'repeat:' .. schedule .. ':' .. whole(planned) then return '' end
local rule = redis.call('HMGET', key, 'name', 'data', 'every', 'offset', 'endDate')
local due = tonumber(ARGV[4])
if not due then
  local every = number(rule[3], 0)
  if every <= 0 then return '' end
  due = next_of_every(planned, every, number(rule[4], 0), 0)
end
-- one that is late has its place on the grid, which may be after the end
if due > number(rule[5], due) then return '' end
check_planning(q, true)
trim_events(q)
local id = add_iteration(schedule, due, rule[1] or 'repeat', rule[2] or '{}', ARGV[5])
increment(key, 'ic')
return id
