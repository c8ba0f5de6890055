-- @include base/clock
-- @include base/fields
-- A job's hash. Most have been told of nothing but what each job has when it is added, BullMQ's too: of those the values
-- alone, which cost half as much; then the second is true.
local function read_job(job)
  -- pcall: the key may be anything, and one id must not hold up the rest
  if redis.pcall('HLEN', job) == 6 then
    local values = redis.call('HMGET', job, 'name', 'data', 'opts', 'timestamp', 'delay', 'priority')
    if values[1] and values[2] and values[3] and values[4] and values[5] and values[6] then return values, true end
  end
  return redis.pcall('HGETALL', job)
end

-- Notes one more start in a job's hash as it was read; false if that is no job (a name is all that one needs). Returns
-- the start, its mark where an earlier one was never read, and whether it is a suspect: none that a child has tried
-- since its last worker died, and none that fails without being run.
local told_of_start = {
  name = true, ats = true, processedOn = true, unread = true, suspect = true, tried = true, defa = true,
}
-- Whether a job is to run in a process of its own, by its fields.
local function is_suspect(suspect, tried, defa)
  return suspect and not defa and not (tried and number(tried, 0) >= number(suspect, 1))
end

local function begin_attempt(fields)
  local at, last = {}, #fields
  for i = 1, last, 2 do
    local field = fields[i]
    if told_of_start[field] then at[field] = i end
  end
  if not at.name then return false end
  local place, processed = at.ats, at.processedOn
  local started = counted(place and fields[place + 1])
  if not place then place, last = last + 1, last + 2 end
  fields[place], fields[place + 1] = 'ats', started
  processed = processed or last + 1
  fields[processed], fields[processed + 1] = 'processedOn', stamp
  local suspect = at.suspect and is_suspect(fields[at.suspect + 1], at.tried and fields[at.tried + 1], at.defa)
  return started, at.unread and fields[at.unread + 1], suspect
end

-- Marks a start of which nobody has said yet that its worker has read of it: how many there were in a row, and which.
local function mark_unread(job, before)
  redis.call('HSET', job, 'unread', counted(string.match(before or '', '^(%d+):')) .. ':' .. stamp)
end
