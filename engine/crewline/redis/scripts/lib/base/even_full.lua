-- @include base/own_key
-- A Redis that is full refuses a script the first write that takes memory, and none after it. What is to be done there,
-- too, since it ends work or frees memory, begins with a write that takes none: of a key that nobody has.
local function even_full()
  redis.pcall('DEL', own_key(q, 'none'))
end
