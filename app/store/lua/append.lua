-- Append events to the log of an attempt.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] id, ARGV[2] fence, ARGV[3...] events: type, a space, data
-- Returns the id of the last event, false if the lease is lost.
-- include: keys
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local held = redis.call('HMGET', message_key(ARGV[1]), 'state', 'fence', 'dropped')
    if held[1] ~= 'processing' or held[2] ~= ARGV[2] then return false end
    local log, dropped = log_key(ARGV[1]), tonumber(held[3] or 0)
    if #ARGV == 2 then return dropped + redis.call('LLEN', log) end
    local last
    for first = 3, #ARGV, 1000 do
        last = redis.call('RPUSH', log, unpack(ARGV, first, math.min(first + 999, #ARGV)))
    end
    return remember(dropped + last)
end

return each(run)
