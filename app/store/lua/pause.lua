-- Pause the queue or continue it.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] 1 to pause, 0 to continue
-- Returns 1.
-- include: keys
-- include: queue
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    if ARGV[1] == '1' then redis.call('SET', PAUSED, '1') else redis.call('DEL', PAUSED) end
    return remember(1)
end

return each(run)
