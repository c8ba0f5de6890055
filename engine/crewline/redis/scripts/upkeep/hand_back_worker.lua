--[[ hand_back_worker: gives what a worker ran to others, told by somebody who knows that it is dead.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base
         2 leases   what the tokens of all its leases begin with
         3 cause    why it died, for the log of each job and for the reason of one that fails by it
         4 blame    '1' if one of its jobs may have been the cause: they are suspects then; '' if none was
         5 most     how often a job may take its worker down before it is failed
         6 fatal    'alone' if one that ran with nothing beside it fails at once, 'sole' if also the only one that the
                    worker had, where all that is active is seen by this call; '' if they are tried again
         7 skip     '' at first, later what the last call returned to go on with
         8 window   how many active ids this call looks at
         9 kept     how many lines a job's log keeps
         10 written  as in cancel_job
         11 larger   '1' if one that would fail at once by `fatal` waits for a larger worker instead, the first time
Returns  {ids put back, ids whose next fetch fails them, ids that never began, what to go on with or '', and what was
         refused beside that, if anything was}
Events   waiting (prev active), or delayed for one that waits for a larger worker, and stalled for one that is a suspect, a job; failed for one that was to be cancelled
Bound    window: 80, and one pass over as much of `active` as lies behind it; 50 that the retention of those that end
         does not keep
Why      Only leases of that worker are ended, whoever has the job by now. What is not blamed is as it was before it was
         fetched; what is, as recover_stalled would have left it once the lease was over. ]]
-- @include base/keys
-- @include base/check_queue
-- @include base/trim_events
-- @include base/denied
-- @include base/fields
-- @include forget/check_forget
-- @include upkeep/leave_active
-- @include upkeep/stalled_job
-- @include place/wake_worker

check_queue(q)
local leases, cause, blame = ARGV[2], ARGV[3], ARGV[4] == '1'
local fatal, skip, window = ARGV[6], tonumber(ARGV[7] == '' and 0 or ARGV[7]), tonumber(ARGV[8])
local length = redis.call('LLEN', q.active)
-- those that began last come first, so that in the end those that began first are the next to run
local ids, locks = redis.call('LRANGE', q.active, skip, skip + window - 1), {}
for i = 1, #ids do locks[i] = base .. ids[i] .. ':lock' end
local held = #ids > 0 and redis.call('MGET', unpack(locks)) or {}
local found, known = {}, {}
for i = #ids, 1, -1 do
  if held[i] and string.sub(held[i], 1, #leases) == leases then
    -- pcall: the key may be anything
    local told = heed(redis.pcall('HMGET', base .. ids[i], 'name', 'processedOn', 'unread', 'crashes', 'alone', 'ats',
      'larger'))
    local kind = not told[1] and 'gone' or is_unread(told) and 'unbegun' or blame and 'lost' or 'back'
    found[#found + 1] = { ids[i], kind, told, skip + i - 1 - length }
    known[#known + 1] = ids[i]
  end
end
if #found > 0 then
  check_forget(q)
  redis.pcall('SREM', q.stalled, unpack(known))
end
local sole = fatal == 'sole' and skip == 0 and #ids < window and #found == 1
for i = 1, fatal == '' and 0 or #found do
  local told = found[i][3]
  if sole then told[5] = told[5] or '1' end
  if told[5] and ARGV[11] == '1' and not told[7] then told.outgrown = cause elseif told[5] then told.most = 1 end
end
local before = {}
for i = 1, #found do before[found[i][1]] = found[i][3][7] end
local all_left, back, doomed, unbegun = pcall(leave_active, found, tonumber(ARGV[5]), ARGV[10])
-- only now: by its lock the next call knows whose a job is that is still active, as one that leave_active leaves out is
local left = {}
for i = 1, all_left and #found or 0 do left[found[i][1]] = true end
for i = 1, #known do
  local id = known[i]
  local is_out = left[id] or not all_left and redis.pcall('LPOS', q.active, id) == false
  if is_out then redis.call('UNLINK', base .. id .. ':lock') end
end
if not all_left then error(back, 0) end
local function tell(id, dooms)
  if dooms then
    local why = redis.call('HGET', base .. id, 'defa') .. ': ' .. cause
    if before[id] then why = why .. '; before that, ' .. before[id] end
    redis.call('HSET', base .. id, 'defa', why)
  end
  local lines = redis.call('RPUSH', base .. id .. ':logs', 'crewline: ' .. cause)
  if lines > tonumber(ARGV[9]) then redis.call('LTRIM', base .. id .. ':logs', -tonumber(ARGV[9]), -1) end
end
-- each is where it belongs, whatever can't be said of it
for i = 1, #back do attempt(tell, back[i]) end
for i = 1, #doomed do attempt(tell, doomed[i], true) end
if #found > 0 then
  if has_runnable(q) then wake_worker(q) end
  trim_events(q)
end
return { back, doomed, unbegun, #ids == window and whole(skip + #ids - #found) or '', refusals }
