-- Append events to the log of an attempt.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] id, ARGV[2] fence, ARGV[3...] events: type, a space, data
-- Returns the id of the last event, false if the lease is lost.
-- include: keys
-- include: logs
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local last = append_events(ARGV, ARGV[1], ARGV[2], 3)
    if not last then return false end
    return #ARGV == 2 and last or remember(last)
end

return each(run)
