-- Store descriptions of agents and the time, each in place of an earlier one with its name.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, then name and description of each
-- Returns 1.
-- include: keys
-- include: queue
-- include: time
-- include: many
-- include: once

local function run(ARGV)
    local now = string.format('%d', time(ARGV[1]))
    local described, times = {}, {}
    for i = 2, #ARGV, 2 do
        described[i - 1], described[i] = ARGV[i], ARGV[i + 1]
        times[i - 1], times[i] = now, ARGV[i]
    end
    by_thousands(described, 'HSET', AGENTS)
    by_thousands(times, 'ZADD', DESCRIBED)
    return 1
end

return each(run)
