-- @include base/fields
-- @include base/parse
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
