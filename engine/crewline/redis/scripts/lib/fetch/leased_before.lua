-- @include base/denied
-- @include base/clock
-- @include place/wake_worker
-- What a call with this token has leased: its answer was lost, and nobody else knows of these jobs. They are the
-- newest in `active`; what is not among the first 1,000 any more comes back when its lease ends.
local function leased_before(token, lease_ms)
  local jobs, locks, ids = {}, {}, redis.call('LRANGE', q.active, 0, 999)
  for i = 1, #ids do locks[i] = base .. ids[i] .. ':lock' end
  local held = #ids > 0 and redis.call('MGET', unpack(locks)) or {}
  for i = #ids, 1, -1 do
    -- pcall: the key may be anything by now, or gone
    if held[i] == token and heed(redis.pcall('HEXISTS', base .. ids[i], 'name')) == 1 then
      redis.call('PEXPIRE', locks[i], lease_ms)
      -- whoever takes this answer knows the start by the time of this call
      redis.call('HSET', base .. ids[i], 'processedOn', stamp)
      redis.call('HDEL', base .. ids[i], 'unread')
      jobs[#jobs + 1] = { ids[i], redis.call('HGETALL', base .. ids[i]) }
    end
  end
  if #jobs > 0 and has_runnable(q) then wake_worker(q) end
  return jobs
end
