--[[ add_jobs: adds up to 200 jobs in one call.

KEYS     the queue's declared keys (lib/keys.lua)
ARGV     1 base      "<prefix>:<queue>:"
         then 8 a job:
           id        '' for the next number of the queue's counter
           name, data (JSON text), opts (JSON text)
           delay     milliseconds from now; "@<epoch ms>" for an absolute time; '0' for none
           priority  0 (before all priorities) or 1 (first) .. 2097151
           lifo      '1' or ''
           extra     JSON object with what lib/add_job.lua takes, or ''
Returns  the jobs' ids, in order. A known id is returned as it is and nothing is stored for it; a deduplicated
         job's id is that of the job that stands for it.
Events   added, then waiting or delayed, a job; duplicated or deduplicated where nothing was stored
Why      One call for many jobs costs Redis a third of one call each, and the clock is Redis' own. ]]
-- @include keys
-- @include clock
-- @include fields
-- @include check_types
-- @include trim_events
-- @include move_job
-- @include delete_jobs
-- @include add_job

local ids, runnable, delayed = {}, false, false
for i = 2, #ARGV, 8 do
  local id, place = add_job(q, ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5],
    ARGV[i + 6] == '1', ARGV[i + 7] ~= '' and parse(ARGV[i + 7]) or nil)
  ids[#ids + 1] = id
  if place == 'wait' then runnable = true elseif place == 'delayed' then delayed = true end
end
if runnable then wake_worker(q) end
if delayed then mark_next_due(q) end
trim_events(q)
return ids
