-- @include base/ask
-- @include base/clock
-- @include base/fields
-- @include base/own_key
-- @include fetch/begin_attempt
-- @include fetch/taken
-- @include place/remove_from_list
-- Finds jobs for a caller that has no room for the suspects before them. The suspects are only read, and stay where they
-- are; where a look ended the next one goes on, whoever makes it, so that what is behind any number of them is reached.
--   passed   a hash of our own: `wait` and `prioritized`, the last suspect of each that was looked past; `at`, how far
--            from the end of `wait` that was; `until`, when looks begin anew: a while after the first job was found,
--            since jobs may come to be between suspects, and then they are stepped over
-- pcall: to a user who may not write it looks begin anew each time

-- Suspects that one call looks past at most, and those that it reads at once.
local MOST_PASSED, PART = 500, 50
-- Milliseconds until looks begin anew.
local LOOKS_ANEW = 2000

-- Ids in the order in which they run, and the scores of those that have some.
local function read(source, at, count)
  local ids, scores = {}, {}
  if source == q.prioritized then
    local told = redis.call('ZRANGE', q.prioritized, at, at + count - 1, 'WITHSCORES')
    for i = 1, #told, 2 do ids[#ids + 1], scores[#scores + 1] = told[i], told[i + 1] end
    return ids, scores
  end
  local last = redis.call('LRANGE', q.wait, -at - count, -at - 1)
  for i = #last, 1, -1 do ids[#ids + 1] = last[i] end
  return ids, scores
end

-- Looks at ids from a place on, until `room` are found that are no suspects or `most` were looked at. Returns these,
-- whether there are no more ids, the last suspect, how many were looked at, and the places, counted from the tail.
local function look(source, at, room, most)
  local found, places, looked, last = {}, {}, 0, nil
  while #found < room and looked < most do
    local ids, scores = read(source, at + looked, math.min(PART, most - looked))
    if #ids == 0 then return found, true, last, looked, places end
    for i = 1, #ids do
      local told = redis.pcall('HMGET', base .. ids[i], 'suspect', 'tried', 'defa')
      looked = looked + 1
      if is_suspect(told[1], told[2], told[3]) then
        last = ids[i]
      else
        found[#found + 1], places[#places + 1] = ids[i], -at - looked
        taken.scores[ids[i]] = scores[i]
        if #found == room then break end
      end
    end
  end
  return found, false, last, looked, places
end

-- Whether Redis lets its user look through `wait`. Who may not has what is before the suspects; to be refused half-way, and
-- then to see no list either, would leave jobs there twice.
local function may_look(list)
  ask('what waits behind suspects can not be fetched', 'LPOS', list, '')
  ask('what waits behind suspects can not be fetched', 'LRANGE', list, '0', '0')
  return true
end

-- Takes out up to `room` jobs behind the first `in_wait` and `in_prioritized` ids, which the caller has looked at; those
-- of `wait` go first. Returns them, and whether there is more to look at.
local function take_behind(room, in_wait, in_prioritized)
  if not attempt(may_look, q.wait) then return {}, false end
  local passed = own_key(q, 'passed')
  local told = redis.pcall('HMGET', passed, 'wait', 'at', 'prioritized', 'until')
  local anew_at = told[4] and number(told[4], 0)
  -- or later than any call sets it: Redis' clock was set back
  if told.err or (anew_at and (anew_at <= now or anew_at > now + LOOKS_ANEW)) then
    redis.pcall('DEL', passed)
    told = {}
  end
  if told[1] then
    -- what ran meanwhile went from before it
    local place = redis.call('LPOS', q.wait, told[1], 'RANK', -1, 'MAXLEN', number(told[2], 0) + MOST_PASSED)
    if place then in_wait = math.max(in_wait, redis.call('LLEN', q.wait) - place) end
  end
  local rank = told[3] and redis.call('ZRANK', q.prioritized, told[3])
  if rank then in_prioritized = math.max(in_prioritized, rank + 1) end

  local found, ends, last, looked, places = look(q.wait, in_wait, room, MOST_PASSED)
  taken[#taken + 1] = found
  remove_from_list(q.wait, places, found)
  if last then told[1], told[2] = last, whole(in_wait + looked) end
  if ends then
    local urgent
    urgent, ends, last = look(q.prioritized, in_prioritized, room - #found, MOST_PASSED - looked)
    if #urgent > 0 then redis.call('ZREM', q.prioritized, unpack(urgent)) end
    for i = 1, #urgent do found[#found + 1] = urgent[i] end
    told[3] = last or told[3]
  end
  if ends then
    redis.pcall('DEL', passed)
  elseif told[1] or told[3] then
    local anew = told[4] or (#found > 0 and whole(now + LOOKS_ANEW))
    redis.pcall('HSET', passed, 'wait', told[1] or '', 'at', told[2] or '', 'prioritized', told[3] or '')
    if anew then redis.pcall('HSET', passed, 'until', anew) end
    redis.pcall('EXPIRE', passed, 60)
  end
  return found, #found < room and not ends
end
