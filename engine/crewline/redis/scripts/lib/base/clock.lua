-- Now, in epoch milliseconds by Redis' clock: pods' clocks disagree.
local clock = redis.call('TIME')
-- put together from text: to write a number as text costs as much as a call of a command
local stamp = clock[1] .. string.sub('00000' .. clock[2], -6, -4)
local now = tonumber(stamp)
