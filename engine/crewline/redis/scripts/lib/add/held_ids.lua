-- What this call has given deduplication ids to, by the key of the job that came: the job's `queue`, the `key` of the id,
-- and where another held that, its id (`earlier`), for how many ms (`left`), and what goes with it (`later`, the key of
-- one that was kept, or nil). It goes as the last step, once all that the call adds is stored (forget_replaced): until
-- then a refusal leaves it where it is, and gives the id back to it (undo_adding). `replacing`: those of them that replace
-- another, in their order.
local held_ids, replacing = {}, {}
-- Keys that are still there, but go: to all that follows in this call they are gone.
local going = {}
