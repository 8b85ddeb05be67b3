-- Delete old figures.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] step, ARGV[2] start before which periods are deleted, ARGV[3] limit
-- Returns the count.
-- include: keys
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local old = redis.call('ZRANGEBYSCORE', figures_of(ARGV[1]), '-inf', '(' .. ARGV[2], 'LIMIT', 0, ARGV[3])
    for _, key in ipairs(old) do
        redis.call('UNLINK', key)
        redis.call('ZREM', figures_of(ARGV[1]), key)
    end
    return #old == 0 and 0 or remember(#old)
end

return each(run)
