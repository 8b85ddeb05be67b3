-- Store descriptions of agents, each in place of an earlier one with its name.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1...] name and description of each
-- Returns 1.
-- include: keys
-- include: queue
-- include: many
-- include: once

local function run(ARGV)
    by_thousands(ARGV, 'HSET', AGENTS)
    return 1
end

return each(run)
