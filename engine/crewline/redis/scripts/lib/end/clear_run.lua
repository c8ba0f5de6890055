-- @include base/own_key
-- What a job must not keep of its runs when it ends from outside: it is no suspect, and no mark is for it any more.
local function clear_run(id, job)
  redis.call('HDEL', job, 'suspect', 'tried', 'alone', 'crashes', 'blamed', 'unread')
  redis.pcall('SREM', q.stalled, id)
  redis.pcall('HDEL', own_key(q, 'cancels'), id)
end
