-- To give back what a deleted job held takes Redis some 30 us a MB, and UNLINK does so at once where a hash has few
-- fields. So fewer jobs go in one call where they hold much.
local MOST_FREED = 32000000
local freed = 0

-- Notes that the job (or schedule) at this key goes in this call; true if no other may.
local function last_to_go(key)
  for _, field in ipairs({ 'data', 'returnvalue' }) do
    -- pcall: the key may be anything
    freed = freed + (tonumber(redis.pcall('HSTRLEN', key, field)) or 0)
  end
  return freed >= MOST_FREED
end

-- Those of these jobs that may go in this call; true if these are not all.
local function those_to_go(owner, ids)
  for i = 1, #ids do
    if last_to_go(owner .. ids[i]) then return { unpack(ids, 1, i) }, true end
  end
  return ids, false
end
