-- Delete descriptions of agents that are older than an age.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] age in milliseconds
-- Returns the count.
-- include: keys
-- include: time
-- include: many
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local now = time(ARGV[1])
    local before = '(' .. string.format('%d', now - tonumber(ARGV[2]))
    local old = redis.call('ZRANGEBYSCORE', DESCRIBED, '-inf', before)
    for _, agent in ipairs(old) do record_other('agent.removed', now, '', '', agent, '') end
    by_thousands(old, 'HDEL', AGENTS)
    by_thousands(old, 'ZREM', DESCRIBED)
    return #old == 0 and 0 or remember(#old)
end

return each(run)
