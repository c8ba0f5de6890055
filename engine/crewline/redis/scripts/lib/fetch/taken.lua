-- What a call has taken from where it waited, for undo_fetch: lists of ids, `scores` by id of those that were in
-- `prioritized`, and ids that were `due` in `delayed`.
local taken = { scores = {}, due = {} }
