-- @include base/denied
-- @include base/fields
-- As attempt, for what nobody would make up for later: where Redis does not let its user do it, the whole call is
-- refused, and is made again.
local function carry_out(step, ...)
  local denied
  local result = attempt(function(...)
    local ok, result = pcall(step, ...)
    if ok then return result end
    denied = is_denied(type(result) == 'table' and result or { err = tostring(result) }) and result
    error(result, 0)
  end, ...)
  if denied then error(denied, 0) end
  return result
end
