-- The ways in which a job ends that are not the common one: it completed, has no parent and no deduplication id. They are
-- made when the first job of a call needs one: to make a function costs a call half as much as a command.
local ways
local function other_ways()
  if not ways then
    -- @include base/carry_out
    -- @include place/check_moving
    -- @include place/mark_next_due
    -- @include end/cancelled
    -- @include end/check_end
    -- @include end/own_retention
    -- @include end/fail
    -- @include end/end_letter
    -- @include end/announce_letters
    -- @include end/retry_later
    -- @include end/hand_back
    -- @include end/take_back_crash
    -- @include end/child_completed
    -- @include end/release_dedup
    -- @include add/add_kept_last
    -- @include place/unsuspect
    ways = {
      check_moving = check_moving, mark_next_due = mark_next_due, cancelled = cancelled, check_end = check_end, carry_out = carry_out,
      own_retention = own_retention, fail = fail, end_letter = end_letter,
      announce_letters = announce_letters, note_failure = note_failure, unsuspect = unsuspect,
      retry_later = retry_later, hand_back = hand_back, take_back_crash = take_back_crash,
      child_completed = child_completed, release_dedup = release_dedup, add_kept_last = add_kept_last,
    }
  end
  return ways
end
