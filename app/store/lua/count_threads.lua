-- Count threads of a tenant that match all filters.
-- KEYS[1] key prefix
-- ARGV see `chosen_threads.lua`; ARGV[2] is above ARGV[5]
-- Returns their number, and the time and the id of the thread behind which to continue, without these at the end.
-- include: keys
-- include: order
-- include: visible
-- include: chosen_threads

local count = 0
local time, name = walk(function() count = count + 1 end)
return {count, time, name}
