-- The queue's own keys, in the order of crewline.keys.Keys.declared(); every script gets all of them.
local base = ARGV[1]
local k_id, k_wait, k_active, k_prioritized, k_delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local k_completed, k_failed, k_marker, k_meta, k_events = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local k_stalled, k_limiter, k_counter, k_paused = KEYS[11], KEYS[12], KEYS[13], KEYS[14]
