-- Note that a ticket is used.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] id, ARGV[2] seconds for which this is kept
-- Returns 1, 0 if it was used before.
-- include: keys
-- include: queue
-- include: tokens
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    return remember(redis.call('SET', ticket_key(ARGV[1]), '1', 'NX', 'EX', ARGV[2]) and 1 or 0)
end

return each(run)
