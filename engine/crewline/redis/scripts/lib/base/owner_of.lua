-- @include base/queue_at
-- The queue and the id of a job's key, "<prefix>:<queue>:<id>"; nil if it is none. A queue's name has no ':', but a prefix
-- and an id may: jobs of a flow have the called queue's prefix, and where one has not, its prefix is taken to have none.
local function owner_of(key)
  local prefix = string.match(base, '^(.*:)[^:]*:$')
  if prefix and string.sub(key, 1, #prefix) == prefix then
    local name, id = string.match(key, '^([^:]+):(.+)$', #prefix + 1)
    if name then return queue_at(prefix .. name .. ':'), id end
  end
  local owner, id = string.match(key, '^([^:]*:[^:]+:)(.+)$')
  if owner then return queue_at(owner), id end
end
