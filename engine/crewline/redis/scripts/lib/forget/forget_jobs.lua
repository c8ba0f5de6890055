-- @include base/own_key
-- @include base/carry_out
-- @include base/denied
-- @include end/child_removed
-- @include forget/delete_jobs
-- Forgets jobs that are in no state any more, the one way in which jobs go but for those that completed (delete_jobs
-- alone: no parent waits for one, and its deduplication id is free): a parent that still waits for one waits no
-- longer, as after BullMQ's removal; what was to be done for them later goes with them. Raises before one goes whose
-- parent Redis does not let its user tell: callers ask before (check_forget, check_parents), and put back what is left.
-- `dedup`: 'free', their deduplication ids are free again, as when a job is removed, and what was kept until their end
-- runs; 'drop', that goes as well; nil where they had ended: a time to live is kept, as in BullMQ. `all`: all of the queue
-- goes, and with it the parents in it.

-- Made when the first goes that has a deduplication id.
local frees

local function forget_jobs(queue, ids, dedup, all)
  if #ids == 0 then return end
  for i = 1, #ids do
    local id, job = ids[i], queue.base .. ids[i]
    -- pcall: the key may be anything, and one id must not hold up the rest
    local links = heed(redis.pcall('HMGET', job, 'parentKey', 'parent', 'deid'))
    if links[1] and not (all and string.sub(links[1], 1, #queue.base) == queue.base) then
      carry_out(child_removed, links[1], links[2], job)
    end
    if links[3] and dedup then
      if not frees then
        -- @include forget/free_dedup
        frees = free_dedup
      end
      carry_out(frees, queue, id, links[3], dedup == 'drop')
    end
  end
  delete_jobs(queue.base, ids)
  redis.pcall('SREM', queue.stalled, unpack(ids))
  redis.pcall('HDEL', own_key(queue, 'cancels'), unpack(ids))
end
