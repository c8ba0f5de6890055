-- @include base/clock
-- @include base/fields
-- @include forget/delete_jobs
-- @include forget/forgetting
-- @include end/other_ways
-- Where the jobs of one call went that have ended: they are written to `completed` and `failed` at once.
local function finished_jobs()
  return { completed = {}, failed = {}, policies = {} }
end

-- keep: '' for ever, '0' not at all, "<count>,<age in s>", with "=" before it for jobs that say the same and no others
local function keep_finished(finished, state, id, keep)
  if keep == '0' then
    -- a parent may wait on for a child that failed
    if state == 'completed' then
      delete_jobs(base, { id })
    else
      forgetting().forget_jobs(q, { id })
    end
    return
  end
  local list = finished[state]
  list[#list + 1] = stamp
  list[#list + 1] = id
  if keep ~= '' then finished.policies[keep .. ',' .. state] = true end
end

-- The last step of a job that has ended, whoever ended it.
local function end_job(finished, state, id, keep, dedup_id)
  keep_finished(finished, state, id, keep)
  if dedup_id then
    other_ways().carry_out(other_ways().release_dedup, q, id, dedup_id)
    other_ways().carry_out(other_ways().add_kept_last, q, id, dedup_id)
  end
end

-- `points`: minutes of metrics that the caller keeps; nil where it keeps none of its own.
local function store_finished(finished, points)
  for _, state in ipairs({ 'completed', 'failed' }) do
    local list = finished[state]
    if #list > 0 then
      redis.call('ZADD', q[state], unpack(list))
      if not points or points > 0 then
        -- @include end/count_metrics
        attempt(points and count_metrics or count_in_total, state, #list / 2, points)
      end
    end
  end
  -- each that failed has cost as much as one that goes
  local left = 50 - #finished.failed / 2
  for policy in pairs(finished.policies) do
    local same, most, age, state = string.match(policy, '^(=?)([^,]*),([^,]*),(.*)$')
    if left > 0 and same == '' then
      -- @include forget/retain_jobs
      left = left - retain_jobs(q, state, most, age, left)
    elseif left > 0 then
      -- @include forget/retain_same
      left = left - retain_same(q, state, most, age, left)
    end
  end
end
