-- @include base/fields
-- @include base/own_key
-- Why a run was to be cancelled, if it was, by its token; nil: any run, for one whose lease is over.
local function cancelled(id, token)
  local mark = redis.pcall('HGET', own_key(q, 'cancels'), id)
  if type(mark) ~= 'string' then return nil end
  local run, reason = unpack(parse(mark))
  return (not token or run == token) and type(reason) == 'string' and reason or nil
end
