-- @include base/denied
-- Asks Redis for a command, with arguments for which it changes nothing, and raises where its user may not use it.
-- `what` can't be done then. Returns the answer.
local function ask(what, ...)
  local reply = redis.pcall(...)
  if is_denied(reply) then error(what .. ': ' .. reply.err, 0) end
  return reply
end
