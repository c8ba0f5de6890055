--[[ take_back_run: takes back the run that lies ahead of one object; a run that is due stays.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 uid as add_run has it
         3 forget    '1': the object is gone, and what was decided of its runs goes, too
Returns  1 a run was taken back, 0 there is none
Events   removed
Bound    one job
Why      It is told in the same call that the run was not decided: else the same time could not be added again, or,
         told a moment later, a run that came due meanwhile could run twice. ]]
-- @include base/keys
-- @include base/check_queue
-- @include base/parse
-- @include base/trim_events
-- @include add/check_planning
-- @include add/runs

check_queue(q)
local uid = ARGV[2]
local state = read_runs(uid)
local ahead = state.ahead
check_planning(q)
trim_events(q)
if ahead then
  -- whether that may be written shows before anything is taken away
  redis.call('HSET', runs, uid, redis.call('HGET', runs, uid))
  take_back(uid, state)
end
if ARGV[3] == '1' then
  redis.call('HDEL', runs, uid)
elseif ahead then
  write_runs(uid, state, parse(redis.call('HGET', runs, uid)))
end
return ahead and state.begun ~= ahead and 1 or 0
