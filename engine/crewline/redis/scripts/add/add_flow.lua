--[[ add_flow: adds a tree of jobs in one go, or a part of a large one.

KEYS     the root queue's declared keys (lib/base/keys.lua)
ARGV     1 base of the root's queue
         2 root    '' for a whole tree; for a part of one, the id of its root: all its jobs wait for release_flow
         3 first   '1' for a tree's first part
         4 seed    what ids of a large tree's jobs were made with; '' where its root has no id of its caller's
         then 9 a job, parents before their children:
           base      of the job's queue
           id, name, data, opts, delay, priority, lifo, extra   as add_jobs takes them; ids are never ''
Returns  the ids, in order; '' for one below a job that was not added, since another has its deduplication id; then the
         positions, from 1, of those that were not added: a known id is returned as it is, a deduplicated job's is that
         of the job that stands for it. For a part: the seed of the tree that is there, if it has another (text, no
         list); nothing at all if the tree's earlier parts were given up, or let go and its root is gone
Events   added, and waiting-children, waiting or delayed, a job; duplicated or deduplicated where nothing was stored
Bound    100 jobs and 200 kB, or one job that is larger (4 ms a MB): a larger tree goes in parts
Why      A parent whose children were added apart could run before they are there, or wait for children that never
         come. A parent all of whose children had ended before is let go at once.
         The jobs of a part wait in waiting-children, its leaves as well, and none of the tree runs before all of it is
         there. To keep it where nobody sees it and to move it in one call would take that call as long as the tree is
         large. Who adds the same root again before it has ended goes on with the tree that is there: the root's hash has
         the seed, so its jobs are the same; one that was let go meanwhile is answered as it is. After it has ended,
         the next tree has jobs of its own. If its producer dies, give_up_flow takes away what there is. So a delayed job
         that one of a part replaces stays until release_flow, and runs if it is due before that. ]]
-- @include base/keys
-- @include base/check_types
-- @include base/parse
-- @include base/queue_at
-- @include base/check_queue
-- @include add/add_job
-- @include add/check_undoing
-- @include add/held_ids
-- @include add/flow_in_parts
-- @include add/let_go
-- @include place/wake_queues

-- a tree is added whole, or not at all
local checked, extras, waits, looked_at = {}, {}, {}, nil
for i = 5, #ARGV, 9 do
  local extra = ARGV[i + 8] ~= '' and parse(ARGV[i + 8]) or {}
  local parent = extra.parentKey
  checked[ARGV[i]], extras[i] = queue_at(ARGV[i]), extra
  waits[#waits + 1] = ARGV[i] .. ARGV[i + 1] .. ':dependencies'
  if parent and parent ~= looked_at then
    redis.call('SCARD', parent .. ':dependencies')
    redis.call('HLEN', parent .. ':processed')
    looked_at = parent
  end
end
for _, queue in pairs(checked) do
  check_queue(queue, true)
  check_undoing(queue)
end
if redis.call('EXISTS', unpack(waits)) > 0 then
  for i = 1, #waits do redis.call('SCARD', waits[i]) end
end

-- a part of a tree that another has let go
local function as_it_is()
  local told, count = {}, (#ARGV - 4) / 9
  for n = 1, count do told[n], told[count + n] = ARGV[n * 9 - 3], n end
  return told
end

local ids, refused, parents, stored, batch, added = {}, {}, {}, {}, {}, {}
local large = ARGV[2] ~= ''
if large then
  local phase = redis.call('LINDEX', flow, 0)
  -- pcall: the key may be anything
  local root = redis.pcall('HMGET', base .. ARGV[2], 'flowSeed', 'finishedOn')
  local same = root[1] == ARGV[4]
  if phase == 'given up' then return {} end
  if ARGV[4] ~= '' and ARGV[3] == '1' and root[1] and not same and (phase or not root[2]) then return root[1] end
  if phase ~= 'adding' and same then return as_it_is() end
  if phase ~= 'adding' and (phase or ARGV[3] ~= '1') then return {} end
  if not phase then stored[1] = 'adding' end
  touch_flow()
end
local begun = {}
local function add_all()
  for i = 5, #ARGV, 9 do
    local queue, extra = checked[ARGV[i]], extras[i]
    local leaf = not extra.children
    if large then extra.children, extra.in_parts = true, true end
    local id, place = '', 'none'
    -- where another job stands for its parent, that one's children do as well
    if not extra.parentKey or (not going[extra.parentKey] and redis.call('EXISTS', extra.parentKey) == 1) then
      batch.storing, batch.queue = nil, queue
      id, place = add_job(queue, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6],
        ARGV[i + 7] == '1', extra, batch)
      added[queue] = (added[queue] or 0) + 1
      if place ~= 'duplicate' and place ~= 'deduplicated' then begun[#begun + 1] = { queue, id } end
      batch.storing = nil
    end
    ids[#ids + 1] = id
    if place == 'children' and large then
      redis.call('SADD', queue.base .. id .. ':dependencies', hold)
      local n = #stored
      stored[n + 1], stored[n + 2], stored[n + 3] = queue.base, id, of_flow(leaf, extra.replaces)
    elseif place == 'children' then
      parents[#parents + 1] = { queue, id }
    elseif place ~= 'wait' and place ~= 'delayed' then
      refused[#refused + 1] = #ids
    end
  end
  local queues = {}
  for queue, count in pairs(added) do
    redis.call('INCRBY', queue.id, count)
    queues[queue.base] = queue
  end
  for i = #parents, 1, -1 do let_go(parents[i][1], parents[i][2], false) end
  -- pcall: a root that was there before may be anything
  if ARGV[3] == '1' and ARGV[4] ~= '' and ids[1] == ARGV[2] then
    redis.pcall('HSET', base .. ARGV[2], 'flowSeed', ARGV[4])
  end
  if #stored > 0 then redis.call('RPUSH', flow, unpack(stored)) end
  wake_queues(queues)
  if next(going) then
    -- @include add/forget_replaced
    forget_replaced()
  end
end
local whole_call, why = pcall(add_all)
if not whole_call then
  -- @include add/undo_adding
  if batch.storing then begun[#begun + 1] = { batch.queue, batch.storing } end
  for i = #begun, 1, -1 do undo_adding(begun[i][1], begun[i][2]) end
  error(why, 0)
end
local count = #ids
for i = 1, #refused do ids[count + i] = refused[i] end
return ids
