-- A key of our own for a queue, where no BullMQ client touches it, as crewline.wire.keys.Keys.extra names it.
local function own_key(queue, suffix)
  local prefix, name = string.match(queue.base, '^(.*):([^:]*):$')
  return (prefix or '') .. '-crewline:' .. (name or queue.base) .. ':' .. suffix
end
