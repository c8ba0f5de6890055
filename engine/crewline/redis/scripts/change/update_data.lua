--[[ update_data: replaces a job's data.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base, 2 id, 3 data (JSON text)
Returns  0, -1 no such job
Events   none
Bound    one job: 2 ms a MB of its data
Why      A job that was removed meanwhile must not come back as a hash with nothing but data. ]]
-- @include base/keys
-- @include base/is_job

if not is_job(base .. ARGV[2]) then return -1 end
redis.call('HSET', base .. ARGV[2], 'data', ARGV[3])
return 0
