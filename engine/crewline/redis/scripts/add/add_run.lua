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
         it, and written in the same call that adds. The run ahead goes once the new one is stored: a call that Redis
         refuses half-way leaves it there. ]]
-- @include base/keys
-- @include base/clock
-- @include base/check_queue
-- @include base/fields
-- @include base/parse
-- @include base/trim_events
-- @include add/add_job
-- @include add/in_place_of
-- @include add/runs
-- @include add/undo_adding
-- @include place/mark_next_due
-- @include place/wake_worker

check_queue(q, true)
local uid, run, digest = ARGV[2], tonumber(ARGV[3]), ARGV[5]
local state = read_runs(uid)
if run <= state.decided or run == state.begun then return 0 end
local id, goes, score = uid .. '-' .. whole(run), nil, nil
if run > now then
  if state.ahead == run and state.job == digest then return 0 end
  goes, score = leave_ahead(uid, state)
end
local begun = run == state.begun
if begun then goes = nil
elseif run > now then state.ahead, state.job = run, digest
else state.decided = run end

local function add()
  local _, place = add_job(q, id, ARGV[6], ARGV[7], ARGV[8], run > now and '@' .. whole(run) or '0', ARGV[9], false)
  local done, why = pcall(function()
    if place == 'wait' then wake_worker(q) elseif place == 'delayed' then mark_next_due(q) end
    if goes and goes ~= id then take_back(goes, score) end
  end)
  if done then return place end
  if place ~= 'duplicate' then undo_adding(q, id) end
  error(why, 0)
end

trim_events(q)
local place = decided(uid, function() write_runs(uid, state, parse(ARGV[4])) end, function()
  if begun then return 'duplicate' end
  if goes == id then
    return instead_of(id, score, function() return in_place_of(id, 'delayed', add) end)
  end
  return add()
end)
return place == 'duplicate' and 0 or 1
