-- Pauses the queue, or lets it go on.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] 1 to pause
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
