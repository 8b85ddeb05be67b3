-- List threads of a tenant that match all filters.
-- KEYS[1] key prefix
-- ARGV see `chosen_threads.lua`
-- Returns their rows, and the time and the id of the thread behind which to continue, without these at the end.
-- include: keys
-- include: threads
-- include: order
-- include: visible
-- include: chosen_threads

local rows = {}
local time, name = walk(function(thread) rows[#rows + 1] = thread_row(ARGV[1], thread) end)
return {rows, time, name}
