-- @include end/other_ways
-- What a result says beyond its value, and its retention, which is all that most have to say.
local nothing = {}
local function details(more)
  if string.byte(more) ~= 123 then return nothing, more end
  local cut = string.find(more, '\0', 1, true)
  local told = cjson.decode(cut and string.sub(more, 1, cut - 1) or more)
  told.trace = cut and string.sub(more, cut + 1)
  return told, told.keep or ''
end

-- What results say, and what their jobs are tied to, one entry a result: told and keep; of those that the caller holds the
-- parent's key (an error where the key is no job's), { parent's key, deduplication id, attempts, unread } where one may
-- have them, and why it is to be cancelled. Where Redis does not let its user do all that their ends mean to others, this
-- raises, and nothing has changed.
local function look_at_results(ids, held, offset)
  local tolds, keeps, parents, ties, reasons = {}, {}, {}, {}, {}
  for r = 1, #ids do
    local at = offset + (r - 1) * 5
    local token, outcome, job = ARGV[at + 2], ARGV[at + 3], base .. ids[r]
    local told, keep = details(ARGV[at + 5])
    tolds[r], keeps[r] = told, keep
    if held[r] == token then
      local dedup_id
      if told == nothing then
        -- given to it since, maybe, by one that adds a flow
        parents[r] = redis.pcall('HGET', job, 'parentKey')
      else
        local links = redis.pcall('HMGET', job, 'parentKey', 'deid', 'atm', 'unread')
        ties[r], parents[r], dedup_id = links, links.err and links or links[1], links[2]
      end
      -- its worker has not heard of it yet
      if outcome == 'retry' or outcome == 'back' then
        reasons[r] = other_ways().cancelled(ids[r], token)
        if not reasons[r] then other_ways().check_moving(q, true) end
      end
      if type(parents[r]) == 'table' then
        -- a foreign client put something else in its place
        -- @include base/denied
        heed(parents[r])
      elseif (parents[r] or dedup_id) and (outcome == 'completed' or outcome == 'failed' or reasons[r]) then
        other_ways().check_end(job, parents[r], dedup_id)
      end
    end
  end
  return tolds, keeps, parents, ties, reasons
end
