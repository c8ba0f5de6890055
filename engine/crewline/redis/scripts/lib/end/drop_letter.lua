-- @include forget/delete_jobs
-- A dead letter that nobody is to replay: its job has ended anew.
local function drop_letter(letters, list, letter_id)
  redis.call('LREM', list, 1, letter_id)
  delete_jobs(letters.base, { letter_id })
  redis.call('XADD', letters.events, '*', 'event', 'removed', 'jobId', letter_id, 'prev', 'waiting')
end
