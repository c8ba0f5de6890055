-- @include place/put_right
-- Carries out a step that takes jobs out of one state, and puts them into another or deletes them. Where Redis refuses it
-- half-way, each that is in none goes back, and the refusal is raised. `back` tells of an id the command that puts it
-- where it was, or nil while it is still there.
local function moving(queue, ids, back, step)
  local moved, result = pcall(step)
  if moved then return result end
  for i = #ids, 1, -1 do
    local goes = back(ids[i])
    if goes then put_back(queue, ids[i], goes) end
  end
  error(result, 0)
end
