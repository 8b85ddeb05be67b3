-- Append events to the log of an attempt, and add what its model calls used to the usage of the message and of the hour.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] id, ARGV[3] fence, ARGV[4] JSON of the usage: name and counts of each model, ARGV[5...] events: type,
-- time, data, with spaces between
-- Returns the id of the last event, false if the lease is lost.
-- include: keys
-- include: time
-- include: logs
-- include: usage
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local last = append_events(ARGV, ARGV[2], ARGV[3], 5)
    if not last then return false end
    add_usage(ARGV[2], time(ARGV[1]), cjson.decode(ARGV[4]))
    return remember(last)
end

return each(run)
