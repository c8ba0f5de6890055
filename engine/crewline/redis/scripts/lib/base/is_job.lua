-- @include base/denied
-- Whether there is a job at a key, which may be of another type. Who may not look is told so, and not that there is none.
local function is_job(key)
  return heed(redis.pcall('HEXISTS', key, 'name')) == 1
end
