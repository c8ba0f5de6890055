-- @include base/denied
-- @include base/fields
-- A call that was given up may reach Redis after its repeat (a link stalls for longer than its sender waits, and then
-- delivers), and a repeat after a later one. Their sender hears the last one's answer only: nobody would run what any other
-- of them leases. So a repeat leaves its number, for longer than networks keep packets; false if a later one did.
local function note_repeat(mark, repeats)
  if number(heed(redis.pcall('GET', mark)), 0) > repeats then return false end
  redis.call('SET', mark, whole(repeats), 'PX', '3600000')
  return true
end
