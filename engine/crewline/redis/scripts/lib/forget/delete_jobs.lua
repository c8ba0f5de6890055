-- Deletes jobs and all keys that belong to them. UNLINK: a log or a parent's results may be long.
local function delete_jobs(owner, ids)
  for i = 1, #ids do
    local job = owner .. ids[i]
    redis.call('UNLINK', job, job .. ':logs', job .. ':lock', job .. ':dependencies', job .. ':processed',
      job .. ':failed', job .. ':unsuccessful')
  end
end
