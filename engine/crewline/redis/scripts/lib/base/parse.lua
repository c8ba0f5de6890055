-- JSON that any client may have written: what is none, or no object or list, counts as {}.
local function parse(text)
  local ok, value = pcall(cjson.decode, text or '')
  if ok and type(value) == 'table' then return value end
  return {}
end
