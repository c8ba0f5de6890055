-- @include base/clock
-- @include base/denied
-- @include base/fields
-- @include base/own_key
-- @include fetch/taken
-- For a larger worker: takes the job that has waited longest for one out of `delayed`, and none else. What is in our set
-- and not in `delayed` any more went another way (it was promoted, removed, or its hour was over): it leaves the set.

-- Ids that one call looks at.
local MOST_LARGER = 50

local function take_larger()
  local larger = own_key(q, 'larger')
  local ids = heed(redis.pcall('ZRANGEBYSCORE', larger, '-inf', whole(now), 'LIMIT', 0, MOST_LARGER))
  if ids.err then
    -- of another type: nothing of ours
    redis.call('DEL', larger)
    return {}
  end
  for i = 1, #ids do
    local id, job = ids[i], base .. ids[i]
    -- pcall: the key may be anything; one that has come to the id since waits for its own time
    local score = heed(redis.pcall('HEXISTS', job, 'larger')) == 1 and redis.call('ZSCORE', q.delayed, id)
    if score then
      taken[#taken + 1], taken.larger[id] = { id }, score
      redis.call('ZREM', larger, id)
      redis.call('ZREM', q.delayed, id)
      if redis.call('TYPE', job).ok == 'hash' then
        redis.call('XADD', q.events, '*', 'event', 'waiting', 'jobId', id, 'prev', 'delayed')
        redis.call('HSET', job, 'delay', '0')
      end
      return { id }
    end
    redis.call('ZREM', larger, id)
  end
  return {}
end
