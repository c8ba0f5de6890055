-- What a call has taken from where it waited, for undo_fetch: lists of ids, `scores` by id of those that were in
-- `prioritized`, ids that were `due` in `delayed`, and scores there by id of those that waited for a `larger` worker.
local taken = { scores = {}, due = {}, larger = {} }
