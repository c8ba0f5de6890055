--[[ add_jobs: adds up to 200 jobs in one call.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base      "<prefix>:<queue>:"
         2 shapes    how many there are: what jobs have in common is sent once
         then 6 a shape:
           name, opts (JSON text)
           delay     milliseconds from now; "@<epoch ms>" for an absolute time; '0' for none
           priority  0 (before all priorities) or 1 (first) .. 2097151
           lifo      '1' or ''
           extra     JSON object with what lib/add/add_job.lua takes, or ''
         then 3 a job:
           shape     its number, from 1
           id        '' for the next number of the queue's counter
           data      JSON text
Returns  the jobs' ids, in order, then the positions, from 1, of those that were not added: a known id is returned as
         it is and nothing is stored for it; a deduplicated job's id is that of the job that stands for it.
Events   added, then waiting or delayed, a job; duplicated or deduplicated where nothing was stored
Bound    200 jobs, 50 if some have a deduplication id (each may replace another, whose data goes); 200 kB, or one job
         that is larger (4 ms a MB)
Why      One call for many jobs costs Redis a fifth of one call each, and the clock is Redis' own. ]]
-- @include base/keys
-- @include base/check_types
-- @include base/trim_events
-- @include base/parse
-- @include base/fields
-- @include base/most_id
-- @include add/add_job
-- @include add/held_ids
-- @include place/mark_next_due
-- @include place/push_job
-- @include place/wake_worker

-- Whole numbers in a row as text: all but the last digit is written once for ten of them.
local function numbers_after(before, count)
  local digits, numbers, tens = { '0', '1', '2', '3', '4', '5', '6', '7', '8', '9' }, {}, nil
  for i = 1, count do
    local last = (before + i) % 10
    if last == 0 or not tens then tens = before + i < 10 and '' or whole((before + i - last) / 10) end
    numbers[i] = tens .. digits[last + 1]
  end
  return numbers
end

local ids, refused, runnable, delayed = {}, {}, false, false
local shapes, tied, first = {}, false, 3 + tonumber(ARGV[2]) * 6
for i = 3, first - 1, 6 do
  shapes[#shapes + 1] = {
    name = ARGV[i], opts = ARGV[i + 1], delay = ARGV[i + 2], priority = ARGV[i + 3], lifo = ARGV[i + 4] == '1',
    extra = ARGV[i + 5] ~= '' and ARGV[i + 5] or nil,
  }
  tied = tied or ARGV[i + 5] ~= ''
end
if tied then
  -- @include add/check_undoing
  check_undoing(q)
end
local count = (#ARGV - first + 1) / 3
local before = redis.call('INCRBY', q.id, count) - count
if before + count > MOST_ID then
  redis.call('DECRBY', q.id, count)
  return redis.error_reply('ERR ' .. no_more_ids(q))
end
local numbers, keys = numbers_after(before, count), {}
for i = 1, count do keys[i] = base .. numbers[i] end
-- the counter may have been lost with jobs still there: then each number is looked at
local fresh = redis.call('EXISTS', unpack(keys)) == 0

local batch = { fresh = fresh, waiting = {} }
local function add_all()
  for i = 1, count do
    local at = first + (i - 1) * 3
    local shape = shapes[tonumber(ARGV[at])]
    batch.number = numbers[i]
    local id, place = add_job(q, ARGV[at + 1], shape.name, ARGV[at + 2], shape.opts, shape.delay, shape.priority,
      shape.lifo, shape.extra and parse(shape.extra), batch)
    ids[i] = id
    if place == 'wait' then
      runnable = true
    elseif place == 'delayed' then
      delayed = true
    else
      refused[#refused + 1] = i
    end
  end
  if #batch.waiting > 0 then redis.call('LPUSH', list_to_wait_in(q), unpack(batch.waiting)) end
  if runnable then wake_worker(q) end
  if delayed then mark_next_due(q) end
  trim_events(q)
  if next(going) then
    -- @include add/forget_replaced
    forget_replaced()
  end
end
local whole_call, why = pcall(add_all)
if not whole_call then
  -- @include add/undo_adding
  -- what was there before is not this call's
  local others = {}
  for i = 1, #refused do others[refused[i]] = true end
  if batch.storing and batch.storing ~= ids[#ids] then ids[#ids + 1] = batch.storing end
  for i = #ids, 1, -1 do
    if not others[i] then undo_adding(q, ids[i]) end
  end
  error(why, 0)
end
for i = 1, #refused do ids[count + i] = refused[i] end
return ids
