-- A job is told by these of having been with workers that died, and forgets them together: it has ended, or begins anew.
local function unsuspect(job)
  redis.call('HDEL', job, 'suspect', 'tried', 'alone', 'crashes', 'blamed', 'unread', 'larger')
end
