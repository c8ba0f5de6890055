--[[ add_flow: adds a tree of jobs in one go, or a part of a large one.

KEYS     the root queue's declared keys (lib/base/keys.lua)
ARGV     1 base of the root's queue
         2 hold   '' for a whole tree; for a part of one, what all its jobs wait for until release_flow takes it away
         then 9 a job, parents before their children:
           base      of the job's queue
           id, name, data, opts, delay, priority, lifo, extra   as add_jobs takes them; ids are never ''
Returns  the ids, in order; '' for one below a job that was not added, since another has its deduplication id
Events   added, and waiting-children, waiting or delayed, a job
Bound    100 jobs: a larger tree goes in parts
Why      A parent whose children were added apart could run before they are there, or wait for children that never
         come. A parent all of whose children had ended before is let go at once.
         The jobs of a part wait in waiting-children, its leaves as well, and none of the tree runs before all of it is
         there. To keep it where nobody sees it and to move it in one call would take that call as long as the tree is
         large. If its producer dies, the tree waits as it is: removing its root takes all of it away. ]]
-- @include base/keys
-- @include base/clock
-- @include end/release_parent
-- @include add/add_job

local ids, queues, parents, hold = {}, {}, {}, ARGV[2]
for i = 3, #ARGV, 9 do
  local queue = queue_at(ARGV[i])
  local extra = ARGV[i + 8] ~= '' and parse(ARGV[i + 8]) or nil
  if hold ~= '' then
    extra = extra or {}
    extra.children = true
  end
  local id, place = '', 'none'
  -- where another job stands for its parent, that one's children do as well
  if not (extra and extra.parentKey) or redis.call('EXISTS', extra.parentKey) == 1 then
    id, place = add_job(queue, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6],
      ARGV[i + 7] == '1', extra)
    queues[queue.base] = queue
  end
  ids[#ids + 1] = id
  if place == 'children' then
    if hold ~= '' then redis.call('SADD', queue.base .. id .. ':dependencies', hold) end
    parents[#parents + 1] = { queue, id }
  end
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
