-- Pause the queue or continue it.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] 1 to pause, 0 to continue
-- Returns 1.
-- include: keys
-- include: queue
-- include: time
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    if redis.call('EXISTS', PAUSED) ~= tonumber(ARGV[2]) then
        record_other(ARGV[2] == '1' and 'queue.paused' or 'queue.resumed', time(ARGV[1]), '', '', '', '')
    end
    if ARGV[2] == '1' then redis.call('SET', PAUSED, '1') else redis.call('DEL', PAUSED) end
    return remember(1)
end

return each(run)
