-- @include base/told_by
-- @include place/put_right
-- What a call has begun to settle when Redis refused it: each job is where it went, or still active under its lease, and
-- the caller tries again.
local function undo_settling(offset)
  for at = offset + 1, #ARGV, 5 do
    local holder = told_by({ 'GET', base .. ARGV[at] .. ':lock' })
    if holder == nil or holder == ARGV[at + 1] then put_right(ARGV[at]) end
  end
end
