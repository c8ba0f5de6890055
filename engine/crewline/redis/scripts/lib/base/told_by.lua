-- What the first of these commands tells that Redis lets its user use there, each a table; nil where none is: that somebody
-- may not look is not that nothing is there. For what undoes a call, and must not raise; all else asks by heed.
local function told_by(...)
  for _, command in ipairs({ ... }) do
    local reply = redis.pcall(unpack(command))
    if type(reply) ~= 'table' or not reply.err then return reply end
  end
end

-- Whether there surely is no key. A job that may be there is put where it belongs; an id without one is cleared away by
-- whoever comes to it, while a job in no state is lost.
local function is_gone(key)
  return told_by({ 'EXISTS', key }, { 'HLEN', key }) == 0
end
