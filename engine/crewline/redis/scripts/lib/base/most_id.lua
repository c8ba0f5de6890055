-- Beyond this no job gets a number: near 2^53 Lua tells whole numbers apart no more, and two jobs would get one id.
local MOST_ID = 4503599627370496

local function no_more_ids(queue)
  return 'the counter of ids ' .. queue.id .. ' is no whole number up to 2^52: set it to the largest id in use'
end
