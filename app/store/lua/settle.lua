-- Continue to settle the ranks of a long thread.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] tenant, ARGV[2] thread, ARGV[3] thread number below which to continue
-- Returns threads left to settle.
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
