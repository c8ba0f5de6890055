--[[ remove_job: deletes a job that nobody runs, and the jobs below it in its flow.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 id
         3 children  '1': the children go as well, and theirs, whatever queue of the slot they are in
         4 most      how many jobs may go in this call
Returns  1 removed, 0 a worker holds it or a job below it, -1 no such job, -8 it is the next iteration of a schedule:
         nothing was changed; 2 there is more than may go in one call, some of those below it went: call again;
         -7 it is more levels deep than jobs may go in one call;
         {that, what was refused beside it} where something was
Events   removed, a job, children first; added, and waiting or delayed, of what was kept until then
Bound    most: 80, half of that where another is kept until the end of each, fewer where they hold 32 MB, and where jobs
         wait in a long list: to find one there takes as long as the list is, in BullMQ as well, so that one call looks
         through a million entries at most. One job in a longer list is the exception.
Why      A job under a lease is a worker's; taking it away would let its result write to a job that is gone.
         A schedule's next iteration is the schedule: remove that. A parent does not wait for a removed child. ]]
-- @include base/keys
-- @include base/check_queue
-- @include base/denied
-- @include base/fields
-- @include base/is_job
-- @include forget/check_forget
-- @include forget/check_going
-- @include forget/check_taking
-- @include forget/forget_jobs
-- @include forget/jobs_below
-- @include place/is_next_iteration
-- @include place/is_to_run
-- @include place/moving
-- @include place/remove_from_state
-- @include end/child_removed

local id, most = ARGV[2], tonumber(ARGV[4])
if not is_job(base .. id) then return -1 end
if is_next_iteration(id, redis.call('HGET', base .. id, 'rjk')) and is_to_run(id) then return -8 end

local steps, held, cut = jobs_below(q, id, ARGV[3] == '1', most)
if held then return 0 end
local long = redis.call('LLEN', q.wait) + redis.call('LLEN', q.active) + redis.call('LLEN', q.paused)
most = math.max(math.min(most, math.floor(1000000 / (long + 1))), 1)
cut = cut or #steps > 2 * most

local queues, gone = {}, 0
for i = 1, #steps do queues[steps[i][1].base] = steps[i][1] end
for _, queue in pairs(queues) do check_queue(queue) end
for _, queue in pairs(queues) do
  check_forget(queue)
  check_taking(queue)
end
for i = 1, #steps do
  if steps[i][5] then check_going(steps[i][1], steps[i][3]) end
end
for i = 1, #steps do
  local queue, own, job, parent, leaves = unpack(steps[i])
  if cut and not leaves and parent and gone < most then
    -- what is above it goes in a later call, and is not let go: it must not run before that
    -- pcall: these may be anything
    heed(redis.pcall('SREM', parent .. ':dependencies', job))
    heed(redis.pcall('ZREM', parent .. ':unsuccessful', job))
    heed(redis.pcall('HDEL', parent .. ':processed', job))
    heed(redis.pcall('HDEL', parent .. ':failed', job))
  end
  if leaves and not cut then
    local links = heed(redis.pcall('HMGET', job, 'parentKey', 'parent'))
    if links[1] then attempt(child_removed, links[1], links[2], job) end
  elseif not leaves and (not cut or (parent and gone < most)) then
    local named = is_job(job)
    local prev = moving(queue, { own }, to_its_state, function()
      local state = remove_from_state(queue, own)
      forget_jobs(queue, { own }, 'free')
      return state
    end)
    if named then redis.call('XADD', queue.events, '*', 'event', 'removed', 'jobId', own, 'prev', prev) end
    gone = gone + 1
  end
end
local code = cut and (gone > 0 and 2 or -7) or 1
return refusals and { code, refusals } or code
