-- @include base/own_key
-- @include end/finished
-- @include end/other_ways
-- @include end/own_retention
-- A job that somebody ended, and that no worker runs now: it fails. It was in state `prev`, and is in none. As with
-- those that a worker ends, store_finished follows.
local function end_from_outside(finished, id, job, reason, prev, written)
  other_ways().unsuspect(job)
  redis.pcall('SREM', q.stalled, id)
  redis.pcall('HDEL', own_key(q, 'cancels'), id)
  local links = redis.call('HMGET', job, 'parentKey', 'deid', 'opts')
  other_ways().note_failure(id, job, reason, links[1], prev)
  end_job(finished, 'failed', id, own_retention(links[3], written), links[2])
end
