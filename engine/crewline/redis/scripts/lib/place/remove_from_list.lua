-- Takes ids out of a list, of which `places` are their places, counted from the tail (-1 is the last). A tombstone for
-- each, and then all in one go: LREM looks from the tail and stops at the last of them, where one an id would look
-- through the list for each. Whatever pushes to the list comes after this.
-- `ids`: those at these places, which come back where Redis refuses the last step.
local function remove_from_list(list, places, ids)
  if #places == 0 then return end
  for i = 1, #places do redis.call('LSET', list, places[i], ':gone') end
  local told = redis.pcall('LREM', list, -#places, ':gone')
  if type(told) == 'number' then return end
  for i = 1, #places do redis.call('LSET', list, places[i], ids[i]) end
  error(told, 0)
end
