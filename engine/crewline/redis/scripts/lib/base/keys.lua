-- The keys of a queue by name. The called queue's own are declared, in the order of crewline.wire.keys.DECLARED.
local base = ARGV[1]
local q = {
  base = base, id = KEYS[1], wait = KEYS[2], active = KEYS[3], prioritized = KEYS[4], delayed = KEYS[5],
  completed = KEYS[6], failed = KEYS[7], marker = KEYS[8], meta = KEYS[9], events = KEYS[10], stalled = KEYS[11],
  limiter = KEYS[12], counter = KEYS[13], paused = KEYS[14], children = KEYS[15],
}

-- The called queue's settings, where lib/base/check_types.lua has read them: paused, concurrency, max, duration, events kept.
local meta
