-- Carries on with the ranks of a long thread.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] tenant, ARGV[2] thread, ARGV[3] the place below which to go on
-- Returns what is left to be settled.
-- include: keys
-- include: messages
-- include: ranks
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    unsettled = {}
    settle(ARGV[1], ARGV[2], tonumber(ARGV[3]))
    return remember(unsettled)
end

return each(run)
