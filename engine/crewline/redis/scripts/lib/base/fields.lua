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
-- What was refused is told to the caller: "<key or id>: <why>".
local refusals
local function attempt(step, ...)
  local ok, result = pcall(step, ...)
  if ok then return result end
  refusals = refusals or {}
  if #refusals == 10 then return end
  local about, why = ..., type(result) == 'table' and result.err or tostring(result)
  if type(about) ~= 'string' then about = tostring((select(2, ...))) end
  refusals[#refusals + 1] = about .. ': ' .. (string.match(why, '^(.-) script: ') or why)
end
