-- @include base/denied
-- @include base/owner_of
-- @include forget/last_to_go
local function children_of(job, most)
  local children = {}
  if redis.call('EXISTS', job .. ':dependencies', job .. ':processed', job .. ':failed', job .. ':unsuccessful') == 0 then
    return children
  end
  for _, look in ipairs({
    { 'HRANDFIELD', ':processed', most }, { 'HRANDFIELD', ':failed', most }, { 'ZRANGE', ':unsuccessful', 0, most - 1 },
    { 'SRANDMEMBER', ':dependencies', most },
  }) do
    -- pcall: a foreign client may have made anything of these
    local part = heed(redis.pcall(look[1], job .. look[2], unpack(look, 3)))
    for i = 1, part.err and 0 or #part do children[#children + 1] = part[i] end
  end
  return children
end

-- Whether another is kept until this job's end, which comes to run when it goes: that costs as much as a job that goes.
local function keeps_another(queue, job)
  -- pcall: the key may be anything
  local dedup_id = heed(redis.pcall('HGET', job, 'deid'))
  return type(dedup_id) == 'string' and redis.call('EXISTS', queue.base .. 'dn:' .. dedup_id) == 1
end

-- What is to be done to remove a job and those below it, found before anything is changed: first each job leaves its
-- parent, then its children go, then itself. Each step is {queue, id, key, its parent's key, true when it leaves}.
-- Returns the steps; whether a worker holds one of them; whether there are more than `most` jobs, or than may go in one
-- call for what they hold: then those that go have nothing below them that does not.
local function jobs_below(root, root_id, with_children, most)
  local steps, seen, count, held, cut, full = {}, {}, 0, false, false, false
  local function collect(queue, id, parent)
    local job = queue.base .. id
    if seen[job] or held then return end
    if count >= most or full then
      cut = true
      return
    end
    seen[job], count = true, count + (keeps_another(queue, job) and 2 or 1)
    if redis.call('EXISTS', job .. ':lock') == 1 then
      held = true
      return
    end
    steps[#steps + 1] = { queue, id, job, parent, true }
    local room = math.max(most - count, 0)
    local children = with_children and children_of(job, room + 1) or {}
    for _, child in ipairs(children) do
      local owner, own = owner_of(child)
      if owner then collect(owner, own, job) end
    end
    -- some of those may have been seen below another: there may be more that were not looked at
    if #children > room then cut = true end
    if not cut then
      steps[#steps + 1] = { queue, id, job, parent, false }
      full = last_to_go(job)
    end
  end
  collect(root, root_id)
  return steps, held, cut
end
