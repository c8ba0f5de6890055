-- So few jobs that what they hold need not be asked for, whose answer costs as much as a job that goes.
local FEW = 5

-- How many jobs like this one may go in a call that does other things as well: to give back what they hold takes Redis
-- some 30 us a MB. The others are taken to be like it: retention is applied too often to ask for each.
local function fewer_of_such(queue, id, most)
  local size = 0
  for _, field in ipairs({ 'data', 'returnvalue' }) do
    -- pcall: the key may be anything
    size = size + (tonumber(redis.pcall('HSTRLEN', queue.base .. id, field)) or 0)
  end
  return math.max(math.min(most, math.floor(16000000 / (size + 1))), FEW)
end
