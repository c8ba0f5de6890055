-- How a child has ended is forgotten by its parent, since it runs again. Returns in how many ways it had.
local function forget_end(parent, job)
  return redis.call('ZREM', parent .. ':unsuccessful', job) + redis.call('HDEL', parent .. ':processed', job)
    + redis.call('HDEL', parent .. ':failed', job)
end
