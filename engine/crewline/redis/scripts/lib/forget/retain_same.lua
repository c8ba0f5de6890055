-- @include base/clock
-- @include base/fields
-- @include base/own_key
-- @include forget/delete_jobs
-- @include forget/forgetting
-- @include forget/fewer_of_such
-- Applies a retention policy as `retain_jobs` does, but only to jobs that say the same: it is what our producers write
-- where nothing was said, and what others added is not for it to delete. Those are stepped over, and where that ended is
-- kept in a key of our own, so that they don't have to be looked at each time; sweep_jobs puts it right.
local function retain_same(queue, state, count, age, most)
  local finished, place, gone = queue[state], own_key(queue, 'kept:' .. state), {}
  local known = redis.pcall('GET', place)
  local skip = math.max(number(type(known) == 'string' and known, 0), 0)
  -- of those that were stepped over, some were removed
  if skip > redis.call('ZCARD', finished) then skip = 0 end
  local over = count ~= '' and redis.call('ZCARD', finished) - skip - tonumber(count) or 0
  local before = age ~= '' and now - tonumber(age) * 1000 or -1
  -- as our producers write it: to read each one's options costs more than all the rest
  local said = {}
  if count ~= '' then said[1] = '"count":' .. count end
  if age ~= '' then said[#said + 1] = '"age":' .. age end
  said = (state == 'completed' and '"removeOnComplete":{' or '"removeOnFail":{') .. table.concat(said, ',') .. '}'
  local found, kept, read = redis.call('ZRANGE', finished, skip, skip + most - 1, 'WITHSCORES'), 0, 0
  for i = 1, #found, 2 do
    if (i - 1) / 2 >= over and tonumber(found[i + 1]) > before then break end
    -- most calls find as many as have ended
    if i == 2 * FEW + 1 then most = fewer_of_such(queue, found[1], most) end
    if #gone >= most or read >= 200000 then break end
    local id = found[i]
    local opts = redis.pcall('HGET', queue.base .. id, 'opts')
    read = read + (type(opts) == 'string' and #opts or 0)
    if type(opts) == 'string' and string.find(opts, said, 1, true) then gone[#gone + 1] = id else kept = kept + 1 end
  end
  if state == 'failed' and #gone > 0 then
    local may = forgetting().that_may_go(queue, gone)
    gone, kept = may, kept + #gone - #may
  end
  if kept > 0 then redis.pcall('SET', place, whole(skip + kept), 'EX', 3600) end
  if #gone == 0 then return kept end
  -- in this order: one that can't be deleted is not to be in no state
  if state == 'completed' then
    delete_jobs(queue.base, gone)
  else
    forgetting().forget_jobs(queue, gone)
  end
  redis.call('ZREM', finished, unpack(gone))
  return #gone + kept
end
