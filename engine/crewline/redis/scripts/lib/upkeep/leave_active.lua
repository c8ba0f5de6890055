-- @include base/counts
-- @include base/fields
-- @include end/cancelled
-- @include end/check_end
-- @include end/end_from_outside
-- @include end/finished
-- @include end/hand_back
-- @include place/check_moving
-- @include place/mark_next_due
-- @include place/push_job
-- @include place/remove_from_list
-- @include upkeep/stalled_job
-- Jobs whose worker is gone leave `active`, newest first, so that the oldest is the next to run. `found`: id, kind as
-- verdict_on has it, or `back` for one that goes as its worker would have handed it back, told, and its place counted
-- from the tail; what stays is taken out of it. `most`: how often a job may take its worker down; `written`: as in
-- cancel_job. Returns those put back, those whose next fetch fails them, and those that never began.
local function leave_active(found, most, written)
  if #found > 0 then check_moving(q) end
  local back, doomed, unbegun, finished = {}, {}, {}, finished_jobs()
  local places, removed, reasons, postponed = {}, {}, {}, false
  for i = #found, 1, -1 do
    local id, kind, told = unpack(found[i])
    reasons[id] = kind ~= 'gone' and cancelled(id, nil, told[6] or '') or nil
    -- where others can't be told of its end, it stays, and is found again
    if reasons[id] and not attempt(check_end_of, base .. id) then table.remove(found, i) end
  end
  for i = 1, #found do removed[i], places[i] = found[i][1], found[i][4] end
  local function move()
    remove_from_list(q.active, places, removed)
    for i = #found, 1, -1 do
      local id, kind, told = unpack(found[i])
      postponed = postponed or told.outgrown or told[7]
      if reasons[id] then
        end_from_outside(finished, id, base .. id, reasons[id], 'active', written)
      elseif kind == 'lost' then
        local list = put_back(id, base .. id, told, most) and doomed or back
        list[#list + 1] = id
      elseif kind == 'back' then
        hand_back(id, base .. id, { larger = told[7] })
        back[#back + 1] = id
      elseif kind == 'unbegun' then
        push_job(q, id, priority_of(base .. id), true, 'active')
        give_start_back(base .. id)
        unbegun[#unbegun + 1] = id
      end
    end
    store_finished(finished)
  end
  local moved, why = pcall(move)
  if not moved then
    -- @include place/put_right
    for i = 1, #found do put_right(found[i][1]) end
    redis.pcall('LREM', q.active, 0, ':gone')
    error(why, 0)
  end
  if postponed then attempt(mark_next_due, q) end
  return back, doomed, unbegun
end
