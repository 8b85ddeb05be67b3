-- Replace the trace of a message, unless it has another fence by now.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] id, ARGV[2] fence, ARGV[3] trace
-- Returns 1.
-- include: keys
-- include: once

local function run(ARGV)
    if redis.call('HGET', message_key(ARGV[1]), 'fence') == ARGV[2] then
        redis.call('HSET', message_key(ARGV[1]), 'trace', ARGV[3])
    end
    return 1
end

return each(run)
