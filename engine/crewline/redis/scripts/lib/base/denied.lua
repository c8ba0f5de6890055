-- Whether Redis has refused a command since its user may not use it, or not at that key; as releases from 6.2 on say it.
local function is_denied(reply)
  local why = type(reply) == 'table' and reply.err
  if not why then return false end
  for _, words in ipairs({ 'executing the script can', 'ACL failure', 'NOPERM' }) do
    if string.find(why, words, 1, true) then return true end
  end
  return false
end

-- An answer to `pcall` at a key that any client may have made anything of. That a user may not look there tells nothing
-- of what is there: it is raised.
local function heed(reply)
  if is_denied(reply) then error(reply.err) end
  return reply
end
