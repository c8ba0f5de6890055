-- @include base/parse
-- Whether a job's options say that it runs before those that wait: when it is added, and when it is run again. Where it
-- comes from `delayed` they count for nothing, as in BullMQ: its workers promote beside ours. To read JSON takes 20 ms a
-- MB, and few jobs say so.
local function says_lifo(opts)
  return type(opts) == 'string' and string.find(opts, '"lifo"', 1, true) ~= nil and parse(opts).lifo == true
end
