--[[ beat: says that a worker lives, and hears which of its jobs are to be cancelled, whether it is to drain, and what
     its settings are.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base
         2 registry  a sorted set of our own: worker by the time it counts as dead
         3 worker    a string of our own: what the worker tells of itself
         4 settings  a string of our own: the queue's settings, JSON
         5 drain     a string of our own: the request by which the worker is to fetch nothing
         6 name, 7 time to live in ms, 8 JSON of what the worker tells of itself
         9 known     SHA-1 of the settings that the worker has, '' for none
         then id, token a job that it runs
Returns  {cancels, drain, settings}: {id, token, reason} of each run that is to be cancelled; the request, '' for none; the
         settings where they are not those known, '' if there are none any more
Events   none
Bound    one look for twenty jobs that the worker runs, where any is to be cancelled; no more looks once the reasons found
         are 100 kB: those who are told end, and are not asked for at the next beat
Why      One call a beat for the registry that dashboards and the operator read, and for all that a worker is told. The
         digest rather than their generation: whoever writes them by hand need not count. A mark for a run that has
         ended is taken away. ]]
-- @include base/keys
-- @include base/clock
-- @include base/own_key
-- @include base/parse

redis.call('ZREMRANGEBYSCORE', ARGV[2], '-inf', stamp)
-- later than a worker that beats says: Redis' clock was set back, and those that live are back with their next beat
redis.call('ZREMRANGEBYSCORE', ARGV[2], string.format('%.0f', now + 2 * tonumber(ARGV[7])), '+inf')
redis.call('ZADD', ARGV[2], string.format('%.0f', now + tonumber(ARGV[7])), ARGV[6])
redis.call('SET', ARGV[3], ARGV[8], 'PX', ARGV[7])
redis.call('PEXPIRE', ARGV[2], ARGV[7])

local told, cancels = {}, own_key(q, 'cancels')
if #ARGV > 9 and redis.call('EXISTS', cancels) == 1 then
  local ids, left = {}, 100000
  for i = 10, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
  for first = 1, #ids, 20 do
    local last = math.min(first + 19, #ids)
    local marks = redis.pcall('HMGET', cancels, unpack(ids, first, last))
    for n = first, marks.err and 0 or last do
      local id, token, mark = ids[n], ARGV[9 + 2 * n], marks[n - first + 1]
      if mark then
        left = left - #mark
        local run, reason = unpack(parse(mark))
        if run == token then
          -- it stays until that run has ended: this answer may be lost
          told[#told + 1] = { id, token, reason }
        elseif run ~= redis.call('GET', base .. id .. ':lock') then
          -- one for the run that has the job now is that one's worker's to find
          redis.call('HDEL', cancels, id)
        end
      end
    end
    if left <= 0 then break end
  end
end
-- a key of another type that somebody put there counts as none: the worker has to go on beating
local function text_at(key)
  local value = redis.pcall('GET', key)
  return type(value) == 'string' and value or ''
end
local drain, settings = text_at(ARGV[5]), text_at(ARGV[4])
local digest = settings == '' and '' or redis.sha1hex(settings)
if digest == ARGV[9] then return { told, drain } end
return { told, drain, settings }
