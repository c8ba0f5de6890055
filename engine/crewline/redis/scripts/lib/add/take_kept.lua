-- @include base/clock
-- The last that came while another ran becomes a job as it is: its data may be long, and many that have one wait may end
-- in one call.
local function take_kept(extra, job, opts, delay, priority)
  local later = extra.kept
  redis.call('RENAME', later, job)
  extra.taken = job
  redis.call('HSETNX', job, 'data', '{}')
  redis.call('HSET', job, 'opts', opts, 'timestamp', stamp, 'delay', delay, 'priority', priority)
end
