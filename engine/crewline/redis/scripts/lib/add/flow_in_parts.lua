-- @include base/denied
-- @include base/own_key
-- @include base/clock
-- What is known of a large tree while it is added and let go in parts, in keys of our own beside its root's queue.
-- Whatever its producer comes to, what there is of the tree can be let go, or taken away. ARGV[2] is the root's id.
--   flows      a sorted set: roots by the time of the last call for each, in ms
--   flow:<id>  a list: adding, whole (it is let go) or "given up"; then base of the queue, id, and '1' or '' for a leaf,
--              for each job that was stored and is not let go yet; behind the last, '=' and the id of the delayed job
--              that it replaces by its deduplication id: that stays until the tree is let go
local flows = own_key(q, 'flows')
local flow = own_key(q, 'flow:' .. ARGV[2])
-- what all its jobs wait for: no job has that id
local hold = base .. ARGV[2] .. ':' .. 'adding'

local function touch_flow()
  redis.call('ZADD', flows, stamp, ARGV[2])
end

local function of_flow(leaf, replaces)
  return (leaf and '1' or '') .. (replaces and '=' .. replaces or '')
end

-- Whether a job that is listed so is a leaf, and the id of the one that it replaces, which has the deduplication id too;
-- nil where that is gone, or another's by now.
local function listed_as(queue, id, told)
  local leaf, holder = string.match(told, '^(1?)=?(.*)$')
  if holder == '' then return leaf == '1' end
  -- pcall: the keys may be anything by now
  local dedup_id = heed(redis.pcall('HGET', queue.base .. id, 'deid'))
  local same = type(dedup_id) == 'string' and heed(redis.pcall('HGET', queue.base .. holder, 'deid')) == dedup_id
  return leaf == '1', same and holder or nil, dedup_id
end

-- How many jobs of the tree are left; if none, nothing is known of it any more.
local function left_of_flow()
  local left = (redis.call('LLEN', flow) - 1) / 3
  if left <= 0 then
    redis.call('UNLINK', flow)
    redis.call('ZREM', flows, ARGV[2])
  end
  return left
end
