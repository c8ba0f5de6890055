-- Why a job fails that was alone too often with a worker that died: the one who counts says so, and the one who finds
-- that a worker lives takes it back.
local function condemnation(crashes)
  return 'job took its worker down ' .. (crashes == 1 and 'once' or crashes .. ' times')
end
