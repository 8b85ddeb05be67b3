-- Count messages of a tenant that match all filters.
-- KEYS[1] key prefix
-- ARGV see `chosen_messages.lua`; ARGV[3] the count at which to end; ARGV[4] is not read
-- Returns the count, and the number below which to continue, false at the end.
-- include: keys
-- include: visible
-- include: chosen_messages

local count, most = 0, tonumber(ARGV[3])
local last = walk(function() return count == most end, function() count = count + 1 end)
return {count, last}
