-- Append events to the log of an attempt.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] id, ARGV[3] fence, ARGV[4...] events: type, time, data, with spaces between
-- Returns the id of the last event, false if the lease is lost.
-- include: keys
-- include: logs
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local last = append_events(ARGV, ARGV[2], ARGV[3], 4)
    if not last then return false end
    return #ARGV == 3 and last or remember(last)
end

return each(run)
