--[[ remove_job: deletes a job that nobody runs, and the jobs below it in its flow.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 id
         3 children  '1': the children go as well, and theirs, whatever queue of the slot they are in
         4 most      how many jobs may go in this call
Returns  1 removed, 0 a worker holds it or a job below it, -1 no such job, -7 there are more than `most`,
         -8 it is the next iteration of a schedule; but for 1 nothing was changed
Events   removed, a job, children first
Why      A job under a lease is a worker's; taking it away would let its result write to a job that is gone.
         A schedule's next iteration is the schedule: remove that. A parent does not wait for a removed child. ]]
-- @include base/keys
-- @include base/clock
-- @include forget/delete_jobs
-- @include end/release_parent
-- @include end/release_dedup_key
-- @include place/remove_from_state

local id, with_children, most = ARGV[2], ARGV[3] == '1', tonumber(ARGV[4])
if redis.call('EXISTS', base .. id) == 0 then return -1 end
local schedule = redis.call('HGET', base .. id, 'rjk')
if schedule and redis.call('ZSCORE', base .. 'repeat', schedule)
  and (redis.call('ZSCORE', q.delayed, id) or redis.call('LPOS', q.wait, id)) then
  return -8
end

-- What is to be done, found before anything is changed: each job leaves its parent, then its children go, then itself.
local steps, seen, count = {}, {}, 0

local function children_of(job)
  local children = {}
  for _, look in ipairs({
    { 'HKEYS', ':processed' }, { 'HKEYS', ':failed' }, { 'ZRANGE', ':unsuccessful', 0, -1 },
    { 'SMEMBERS', ':dependencies' },
  }) do
    -- pcall: a foreign client may have made anything of these
    local part = redis.pcall(look[1], job .. look[2], unpack(look, 3))
    for i = 1, part.err and 0 or #part do children[#children + 1] = part[i] end
  end
  return children
end

local function collect(job)
  local owner, own = string.match(job, '^(.+:)([^:]+)$')
  if seen[job] or not owner then return 1 end
  seen[job], count = true, count + 1
  if count > most then return -7 end
  if redis.call('EXISTS', job .. ':lock') == 1 then return 0 end
  steps[#steps + 1] = { queue_at(owner), own, job, true }
  for _, child in ipairs(with_children and children_of(job) or {}) do
    local code = collect(child)
    if code ~= 1 then return code end
  end
  steps[#steps + 1] = { queue_at(owner), own, job, false }
  return 1
end

local code = collect(base .. id)
if code ~= 1 then return code end
local queues = {}
for i = 1, #steps do
  local queue, own, job, leaves = unpack(steps[i])
  local links = redis.call('HMGET', job, 'parentKey', 'parent', 'deid', 'name')
  if leaves then
    if links[1] then child_removed(links[1], links[2], job) end
  else
    local prev = remove_from_state(queue, own)
    if links[3] then release_dedup(queue, own, links[3]) end
    delete_jobs(queue.base, { own })
    if links[4] then redis.call('XADD', queue.events, '*', 'event', 'removed', 'jobId', own, 'prev', prev) end
    queues[queue.base] = queue
  end
end
for _, queue in pairs(queues) do trim_events(queue) end
return 1
