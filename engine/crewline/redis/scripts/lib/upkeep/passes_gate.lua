-- @include base/even_full
-- Whether nobody has passed a gate for `ms`; from now on somebody has. Redis' clock may have been set back, and the gate
-- would hold until it is there again: none is set for longer than `most_ms`.
local function passes_gate(gate, ms, most_ms)
  even_full()
  if redis.call('SET', gate, '1', 'NX', 'PX', ms) then return true end
  local left = redis.call('PTTL', gate)
  if left >= 0 and left <= most_ms then return false end
  redis.call('SET', gate, '1', 'PX', ms)
  return true
end
