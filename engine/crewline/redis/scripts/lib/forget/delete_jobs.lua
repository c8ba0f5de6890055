-- Deletes jobs and all keys that belong to them. UNLINK: a log or a parent's results may be long.
local function delete_jobs(owner, ids)
  for first = 1, #ids, 100 do
    local keys, n = {}, 0
    for i = first, math.min(first + 99, #ids) do
      local job = owner .. ids[i]
      keys[n + 1], keys[n + 2], keys[n + 3], keys[n + 4] = job, job .. ':logs', job .. ':lock', job .. ':dependencies'
      keys[n + 5], keys[n + 6], keys[n + 7] = job .. ':processed', job .. ':failed', job .. ':unsuccessful'
      n = n + 7
    end
    redis.call('UNLINK', unpack(keys))
  end
end
