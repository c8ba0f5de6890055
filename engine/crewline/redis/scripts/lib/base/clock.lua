-- Now, in epoch milliseconds by Redis' clock: pods' clocks disagree.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local stamp = string.format('%.0f', now)
