-- @include base/denied
-- @include base/own_key
-- @include base/parse
-- Why a run was to be cancelled, if it was: a mark names the run by its token, and by its start for one whose lease is
-- over. Other clients' scripts leave it where it is, so that it may be an earlier run's.
local function cancelled(id, token, started)
  local mark = heed(redis.pcall('HGET', own_key(q, 'cancels'), id))
  if type(mark) ~= 'string' then return nil end
  local run, reason, start = unpack(parse(mark))
  local meant = token and run == token or started and start == started
  return meant and type(reason) == 'string' and reason or nil
end
