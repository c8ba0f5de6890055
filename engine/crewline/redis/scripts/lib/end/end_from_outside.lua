-- @include base/own_key
-- @include base/parse
-- @include end/other_ways
-- @include end/finished
-- What a job's own options say of how long it stays when it has failed, as keep_finished takes it. What says nothing, or
-- what is no retention, keeps it; the sweep knows what the queue says. `written` is what our producers write where
-- nothing was said.
local function own_retention(opts, written)
  local own = parse(opts).removeOnFail
  if own == true then return '0' end
  if type(own) == 'number' then own = { count = own } end
  if type(own) ~= 'table' then return '' end
  local count, age = own.count, own.age
  if type(count) ~= 'number' or count < 0 or count ~= number(count) then count = nil end
  if type(age) ~= 'number' or age < 0 or not number(age) then age = nil end
  if count == 0 then return '0' end
  if not count and not age then return '' end
  local keep = (count and whole(count) or '') .. ',' .. (age and whole(math.floor(age)) or '')
  return (keep == written and '=' or '') .. keep
end

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
