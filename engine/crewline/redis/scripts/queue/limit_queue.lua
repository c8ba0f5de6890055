--[[ limit_queue: sets how much of a queue may run at once, over all workers, and along with it what its workers follow.

KEYS     the queue's declared keys (lib/base/keys.lua)
ARGV     1 base
         2 settings  a string of our own: the queue's settings, JSON
         3 told      what to store there; '' leaves what is there
         then name, value a limit; name: concurrency, max or duration; value: '' for no bound
Returns  0
Events   none
Bound    three limits
Why      While a limit holds nobody sets the marker: workers that are idle for it must hear that there is more room now,
         or they sleep on until they poll. Whoever sets limits for a queue notes in its settings which ones are its own,
         to take back no others: both at once, or a death in between would leave a limit that nobody takes back. ]]
-- @include base/keys
-- @include base/check_queue
-- @include base/even_full
-- @include place/wake_worker

check_queue(q)
even_full()
if ARGV[3] ~= '' then redis.call('SET', ARGV[2], ARGV[3]) end
for i = 4, #ARGV, 2 do
  if ARGV[i + 1] == '' then redis.call('HDEL', q.meta, ARGV[i]) else redis.call('HSET', q.meta, ARGV[i], ARGV[i + 1]) end
end
if has_runnable(q) then wake_worker(q) end
return 0
