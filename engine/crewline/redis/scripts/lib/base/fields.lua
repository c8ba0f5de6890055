-- Reads what any client may have written. A script that raises in the middle leaves half a change behind, so
-- nothing here raises: what is no number counts as what it would be by default.
local function number(value, default)
  local n = tonumber(value)
  if not n or n ~= n or n >= 1e15 or n <= -1e15 then return default end
  return math.floor(n)
end

local function whole(n)
  return string.format('%.0f', n)
end

-- One more than a count was, as text: Redis writes Lua's numbers slowly.
local function counted(value)
  if not value or value == '0' then return '1' end
  return whole(number(value, 0) + 1)
end

-- A step that touches keys which another client may have broken: it must not undo what the call does for others.
local function attempt(step, ...)
  local ok, result = pcall(step, ...)
  if ok then return result end
end
