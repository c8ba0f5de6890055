-- @include base/parse
-- @include base/clock
-- @include base/fields
-- @include add/add_job
-- @include place/mark_next_due
-- @include place/wake_worker
-- When a schedule that repeats every `every` ms runs next. An iteration that is late keeps the grid, it does not shift it.
local function next_of_every(prev, every, offset, start)
  local due
  if not prev then
    if start > 0 then
      due = math.max(start, now)
    elseif offset > 0 then
      due = math.floor(now / every) * every + offset
      if due <= now then due = due + every end
    else
      due = now
    end
  else
    due = prev + every
    if due < now then
      due = math.floor(now / every) * every + offset
      if due <= now then due = due + every end
    end
  end
  return due
end

-- Adds the iteration that is due at `due`. `opts` is a JSON object without the members that only this call knows.
local function add_iteration(schedule, due, name, data, opts)
  local id = 'repeat:' .. schedule .. ':' .. whole(due)
  local known = ',"jobId":' .. cjson.encode(id) .. ',"prevMillis":' .. whole(due) ..
    ',"delay":' .. whole(math.max(due - now, 0)) .. ',"timestamp":' .. stamp .. '}'
  local all = string.sub(opts, 1, -2) .. known
  local parsed = parse(opts)
  local priority = math.min(math.max(number(parsed.priority, 0), 0), 2097151)
  local added, place = add_job(q, id, name, data, all, due > now and '@' .. whole(due) or '0', whole(priority),
    parsed.lifo == true, { rjk = schedule })
  -- a schedule that points at an iteration that was not added would never go on
  redis.call('ZADD', base .. 'repeat', whole(due), schedule)
  if place == 'wait' then wake_worker(q) elseif place == 'delayed' then mark_next_due(q) end
  return added
end
