-- @include base/queue_at
-- @include end/drop_letter
-- The dead letter of a failure after which somebody ran the job again, now that it has ended anew: whoever replayed it
-- would have work done once more that is done. It is looked for among the newest, since to look through all would take as
-- long as they are many; `letters` is the dead letters' base, '' for none.
local function end_letter(letters, letter_id)
  if letters == '' then return end
  local queue = queue_at(letters)
  for _, list in ipairs({ queue.wait, queue.paused }) do
    if redis.call('LPOS', list, letter_id, 'MAXLEN', 2000) then drop_letter(queue, list, letter_id) end
  end
end
