--[[ add_run: adds one run of what somebody else schedules, once, however often that is asked for.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base
         2 uid       of the object whose run it is: with the time it makes the job's id
         3 run       when it is due, epoch ms; one that lies ahead is the only one that does
         4 told      which object that is, as JSON
         5 digest    what the job is made from: another one replaces a run that lies ahead
         6 name, 7 data (JSON text), 8 opts (JSON text), 9 priority
Returns  1 it was added, 0 it was added before, or a later one that is due was
Events   removed for the run ahead that it takes the place of; added, then waiting or delayed; duplicated where its job was
         there
Bound    one job: 4 ms a MB
Why      A job that is done may be gone, so that its id would be taken once more: what was decided last is kept apart from
         it, and written in the same call that adds. ]]
-- @include base/keys
-- @include base/clock
-- @include base/check_queue
-- @include base/fields
-- @include base/parse
-- @include base/trim_events
-- @include add/add_job
-- @include add/check_planning
-- @include add/runs
-- @include place/mark_next_due
-- @include place/wake_worker

check_queue(q, true)
local uid, run, digest = ARGV[2], tonumber(ARGV[3]), ARGV[5]
local state = read_runs(uid)
if run <= state.decided or run == state.begun then return 0 end
check_planning(q, true)
-- whether what is decided may be written shows before the job is there
redis.call('HDEL', runs, '')
trim_events(q)
local id = uid .. '-' .. whole(run)
if run > now and state.ahead then
  if state.ahead == run and state.job == digest then return 0 end
  take_back(uid, state)
end
local added = 0
if run ~= state.begun then
  local _, place = add_job(q, id, ARGV[6], ARGV[7], ARGV[8], run > now and '@' .. whole(run) or '0', ARGV[9], false)
  if place == 'wait' then wake_worker(q) elseif place == 'delayed' then mark_next_due(q) end
  if run > now then state.ahead, state.job = run, digest else state.decided = run end
  added = place == 'duplicate' and 0 or 1
end
write_runs(uid, state, parse(ARGV[4]))
return added
