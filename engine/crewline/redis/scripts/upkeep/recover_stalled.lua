--[[ recover_stalled: gives jobs whose lease ran out to another worker; the active ones are gone through a part a call.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base
         2 interval  milliseconds; one look a queue in this time, whoever makes it
         3 most      how often a job may take its worker down before it is failed
         4 gate      the "stalled-check" key, BullMQ's as well
         5 lease     milliseconds that a lease holds without a renewal
         6 once      '1' if Redis and the workers were up for the whole last lease, '0' if not, '' to go by how
                     regularly looks came
         7 skip      '' at first, later what the last call returned to go on with
         8 window    how many active ids this call looks at
         9 written   as in cancel_job
Returns  {} if another looked just now; else {ids put back, ids whose next fetch fails them, ids that never began,
         what to go on with or '', and what was refused beside that, if anything was}
Events   waiting (prev active), or delayed for one that waits for a larger worker, and stalled for one that had begun, a job; failed for one that was to be cancelled
Bound    window: 80, and one pass over as much of `active` as lies behind it; 50 that the retention of those that end
         does not keep
Why      An id without a lock whose lease would be over by now, counted from its start, lost its worker. One look tells
         where the locks are to be trusted: looks came for a whole lease, by Redis' clock, none more than half a lease
         after the last, so that neither Redis nor all workers stood still for long enough to end a lease that is kept.
         That is decided here, when a look is made: one that was sent before Redis stood still comes after it. Else the
         id is put into `stalled`, and goes if the next look, no sooner than living workers have renewed their leases,
         finds it there and still without a lock. BullMQ's check reads the same set; it acts as late as it would without
         us, since nothing younger than a lease is put there: not even a job that a BullMQ worker runs without a lock
         (token "0") goes sooner than that.
         A start that nobody has read of (field unread: our fetch waited for work in the name of a worker that sleeps)
         never began: it goes back as it was, twice in a row at most, since a job may also take its worker down in the
         moment between. Whoever has read renews the lease, which takes the mark away, so that it tells at any age; where
         the lease is over sooner than any, one look is enough. The mark names the start, so that another client's later
         fetch is not meant.
         One whose run was to be cancelled ends now.
         Every other job of a worker that died is a suspect, and all but one are innocent: it runs alone next
         (suspect: how often; tried: which of these it has outlived), and only a death while alone (field alone) counts.
         One that counted too often is failed by whoever fetches it next (field defa), as in BullMQ. All go before their
         equals. ]]
-- @include base/keys
-- @include base/check_queue
-- @include base/trim_events
-- @include base/denied
-- @include base/fields
-- @include upkeep/leave_active
-- @include upkeep/looks
-- @include upkeep/passes_gate
-- @include upkeep/stalled_job
-- @include place/wake_worker

check_queue(q)
local lease, once, first = tonumber(ARGV[5]), ARGV[6] == '1', ARGV[7] == ''
local skip, window = tonumber(ARGV[7] == '' and 0 or ARGV[7]), tonumber(ARGV[8])
-- that of a worker with a longer interval holds, but none has one as long as this
local LONGEST_GATE = 60000
if first and not passes_gate(ARGV[4], ARGV[2], math.max(tonumber(ARGV[2]), lease, LONGEST_GATE)) then return {} end
if ARGV[6] == '' then once = came_regularly(lease, first) end
if first then
  if not once and redis.call('PTTL', ARGV[4]) < lease / 3 then
    redis.call('PEXPIRE', ARGV[4], math.max(math.floor(lease / 3), 1))
  end
  trim_events(q)
  if redis.call('TYPE', q.stalled).ok ~= 'set' then redis.call('DEL', q.stalled) end
end

local ids, locks = redis.call('LRANGE', q.active, -skip - window, -skip - 1), {}
for i = 1, #ids do locks[i] = base .. ids[i] .. ':lock' end
local held = #ids > 0 and redis.call('MGET', unpack(locks)) or {}
local found, seen, removed = {}, {}, {}
for i = #ids, 1, -1 do
  if not held[i] then
    -- pcall: the key may be anything
    local told = heed(redis.pcall('HMGET', base .. ids[i], 'name', 'processedOn', 'unread', 'crashes', 'alone', 'ats',
      'larger'))
    local kind = verdict_on(ids[i], told, lease, once)
    if kind == 'seen' then
      seen[#seen + 1] = ids[i]
    elseif kind ~= 'young' then
      found[#found + 1] = { ids[i], kind, told, i - #ids - 1 - skip }
      removed[#removed + 1] = ids[i]
    end
  end
end
if #seen > 0 then redis.call('SADD', q.stalled, unpack(seen)) end
if #removed > 0 then redis.call('SREM', q.stalled, unpack(removed)) end

local back, doomed, unbegun = leave_active(found, tonumber(ARGV[3]), ARGV[9])
if #found > 0 and has_runnable(q) then wake_worker(q) end
if #ids == window then return { back, doomed, unbegun, whole(skip + #ids - #found), refusals } end

-- what is in `stalled` for nothing any more goes by and by
local marked = redis.call('SRANDMEMBER', q.stalled, 100)
for i = 1, #marked do
  local id = marked[i]
  local job = base .. id
  local told = redis.pcall('HMGET', job, 'name', 'finishedOn')
  local over = (not told[1] or told[2]) and not redis.call('LPOS', q.active, id, 'MAXLEN', 2000)
  if over or redis.call('EXISTS', job .. ':lock') == 1 then redis.call('SREM', q.stalled, id) end
end
return { back, doomed, unbegun, '', refusals }
