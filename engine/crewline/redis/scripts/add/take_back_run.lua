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
-- @include add/runs

check_queue(q)
local uid = ARGV[2]
local state = read_runs(uid)
local was_ahead = state.ahead
local id, score = leave_ahead(uid, state)
trim_events(q)
decided(uid, function()
  if ARGV[3] == '1' then
    redis.call('HDEL', runs, uid)
  elseif was_ahead then
    write_runs(uid, state, parse(redis.call('HGET', runs, uid)))
  end
end, function()
  if id then take_back(id, score) end
end)
return id and 1 or 0
