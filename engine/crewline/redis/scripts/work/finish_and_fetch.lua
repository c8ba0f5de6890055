--[[ finish_and_fetch: settles what a worker has done and leases what it has room for, in one call.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base      "<prefix>:<queue>:"
         2 queue     the queue's name, for dead letters
         3 letters   the dead-letter queue's base, or '' for none
         4 token     the lease token for the jobs fetched now
         5 lease     the lease's length in milliseconds
         6 worker    the worker's name, kept on the job
         7 room      how many jobs to fetch at most
         8 max, 9 duration   the worker's own rate limit: jobs a duration in ms; 0 for none
         10 points   minutes of metrics to keep, 0 for none; a week of them at most
         11 again    '' or which repeat it is, from 1, of a call that was not answered: what that leased is returned first,
                     and whichever comes after a later one, since it was late on its way, leases nothing
         12 unread   '' or how long, in ms, the leases of the jobs fetched now hold until the worker has said with
                     extend_leases that it has read of them: it may sleep while this call waits for work in its name
         13 suspects  '' or how many suspects to fetch at most (jobs that were with a worker that died): those beyond it
                     are looked past, 500 a call, and stay where they are; 'larger' for nothing but a job that waits
                     for a larger worker, one a call
         14 repeated  a string of our own, by the token: which of its repeats was here last
         then 5 a result:
           id, token
           outcome   completed | failed | retry | back (handed back: neither an attempt nor a start is used up)
           value     completed: the result (JSON text); failed, retry: the reason
           more      completed: mostly "<keep>" alone, where the job was fetched without attempts, deduplication id and a
                     mark that nobody read of it; else a JSON object, in which all may be left out, and a stack trace
                     (JSON text) behind a NUL:
             keep       retention once finished: '' for ever, '0' not at all, "<count>,<age in s>"; with "=" before it
                        for jobs that say the same
             written    retry, back: as in cancel_job
             traces     how many stack traces a job keeps
             delay      retry: milliseconds
             lifo       retry: true puts it before those that wait
             exhausted  failed: true if it had attempts and they are used up
             letter     failed: false for no dead letter
             unreadable true if its data is not JSON
             optionless true if its options are none that can be read
             earlier    completed, failed: the dead letter of a failure after which somebody ran the job again
             suspect    true if it was a suspect, and whoever ran it lives
             alone      "<ats>:<processedOn>" of a start that ran alone in its worker, which lives
             crashed    back: true if the process died that ran this suspect alone
             tried      back: true if this suspect raised in a process of its own, which lived on
             larger     retry, back: of what it died for want of memory: it waits for a larger worker
             outgrown   back: true if it died of that just now: that start counts
Returns  {now, codes, jobs, next due ms or 0, rate limit ms or 0, and what was refused beside that, if anything was}
         next due: now, where there is more than one call reads, or more behind suspects than it looks at; or where
         something was settled and nothing could be fetched: a fetch by itself is told why
         codes: one a result: 0 settled, or why not: -1 no such job, -2 no lease, -3 not active,
                -4 children still run, -6 another's lease, -9 children failed
         jobs:  {id, its hash} each, ats and processedOn telling of this start; of a job that was never started and has
                nothing but what each job has, {name, data, opts, timestamp, delay, priority, id}
Events   completed | failed [retries-exhausted] | delayed | waiting, active, drained; those of parents; removed at the dead
         letters
Bound    25 results and room for 25 (more is slower for whoever waits); results that weigh 200 kB, as the worker weighs
         them, or one that is heavier, and no room then; jobs are read until they are 200 kB, so that the last may be
         any size (each MB takes 2 ms); each call promotes 50 due jobs at most, and lets 50 go that retention does not
         keep, fewer of large ones, and one fewer for each result that is a failure; behind suspects, one pass over
         those in `wait` that earlier calls have looked past
Why      Group commit: a worker's whole state change costs one round trip, however many jobs it covers.
         Locks are read, and leases and finished sets written, once a call instead of once a job. ]]
-- @include base/keys
-- @include base/clock
-- @include base/check_types
-- @include base/trim_events
-- @include base/fields
-- @include place/wake_worker

local codes, ended, jobs, next_due, limited = {}, false, {}, 0, 0
if #ARGV > 14 then
  -- @include end/settle_jobs
  local whole_call
  whole_call, codes, ended = pcall(settle_jobs, 14, tonumber(ARGV[10]))
  if not whole_call then
    -- @include end/undo_settling
    undo_settling(14)
    error(codes, 0)
  end
end
local room = tonumber(ARGV[7])
if room > 0 or ARGV[11] ~= '' then
  -- @include fetch/lease_jobs
  -- @include fetch/taken
  local whole_call
  whole_call, jobs, next_due, limited = pcall(lease_jobs, ARGV[4], ARGV[5], ARGV[6], room, tonumber(ARGV[8]),
    tonumber(ARGV[9]), tonumber(ARGV[11]), ARGV[12] ~= '' and ARGV[12], tonumber(ARGV[13]), #codes > 0,
    ARGV[13] == 'larger')
  if not whole_call then
    -- @include fetch/undo_fetch
    undo_fetch(taken, ARGV[4])
    local why = jobs
    -- also where an earlier one of its repeats may have leased jobs: only the next brings them
    if #codes == 0 or ARGV[11] ~= '' then error(why, 0) end
    -- what was settled stands, and its worker is to hear of that
    attempt(function() error(why, 0) end, q.wait)
    jobs, next_due, limited = {}, now, 0
  end
end
if room <= 0 and #jobs == 0 and meta[2] and has_runnable(q) then
  -- a worker that finishes and does not fetch leaves a place under a global limit: others must hear of it
  attempt(wake_worker, q, q.marker)
end
if ended and #jobs == 0 and redis.call('LLEN', q.active) == 0 and not has_runnable(q) then
  redis.call('XADD', q.events, '*', 'event', 'drained')
end
if #codes > 0 or #jobs > 0 then attempt(trim_events, q, q.events) end
return { now, codes, jobs, next_due, limited, refusals }
