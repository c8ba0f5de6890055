--[[ add_flow: adds a tree of jobs in one go: all of it or nothing.

KEYS     the root queue's declared keys (lib/base/keys.lua)
ARGV     1 base of the root's queue
         then 9 a job, parents before their children:
           base      of the job's queue
           id, name, data, opts, delay, priority, lifo, extra   as add_jobs takes them; ids are never ''
Returns  the ids, in order
Events   added, and waiting-children, waiting or delayed, a job
Why      A parent whose children were added apart could run before they are there, or wait for children that never
         come. A parent all of whose children had ended before is let go at once. ]]
-- @include base/keys
-- @include base/clock
-- @include end/release_parent
-- @include add/add_job

local ids, queues, parents = {}, {}, {}
for i = 2, #ARGV, 9 do
  local queue = queue_at(ARGV[i])
  local extra = ARGV[i + 8] ~= '' and parse(ARGV[i + 8]) or nil
  local id, place = add_job(queue, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6],
    ARGV[i + 7] == '1', extra)
  ids[#ids + 1] = id
  queues[queue.base] = queue
  if place == 'children' then parents[#parents + 1] = { queue, id } end
end
for i = #parents, 1, -1 do
  local queue, id = parents[i][1], parents[i][2]
  if redis.call('EXISTS', queue.base .. id .. ':dependencies') == 0 then release_parent(queue, id) end
end
for _, queue in pairs(queues) do
  if has_runnable(queue) then wake_worker(queue) end
  mark_next_due(queue)
  trim_events(queue)
end
return ids
