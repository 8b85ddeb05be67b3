-- Store descriptions of agents and the time, each in place of an earlier one with its name.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, then name and description of each
-- Returns how many differ from earlier ones.
-- include: keys
-- include: queue
-- include: time
-- include: many
-- include: once

local function run(ARGV)
    local given = time(ARGV[1])
    local now = string.format('%d', given)
    local described, times, changed = {}, {}, 0
    for i = 2, #ARGV, 2 do
        if redis.call('HGET', AGENTS, ARGV[i]) ~= ARGV[i + 1] then
            record_other('agent.changed', given, '', '', ARGV[i], '')
            changed = changed + 1
        end
        described[i - 1], described[i] = ARGV[i], ARGV[i + 1]
        times[i - 1], times[i] = now, ARGV[i]
    end
    by_thousands(described, 'HSET', AGENTS)
    by_thousands(times, 'ZADD', DESCRIBED)
    return changed
end

return each(run)
