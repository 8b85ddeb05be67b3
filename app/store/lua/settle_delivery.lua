-- Store the outcome of a try of a delivery.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] id, ARGV[3] tries, ARGV[4] end of its lease, ARGV[5] state, ARGV[6]
-- milliseconds until it is due again or '', ARGV[7] the try as JSON
-- Returns 1; 0 if this is no longer the newest claim.
-- include: keys
-- include: time
-- include: deliveries
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local key, now = delivery_key(ARGV[2]), time(ARGV[1])
    local f = redis.call('HMGET', key, 'tenant', 'event', 'state', 'created_at', 'tries', 'next_at', 'attempts')
    if f[3] ~= 'pending' or f[5] ~= ARGV[3] or f[6] ~= ARGV[4] then return 0 end
    local attempts = f[7] and f[7]:sub(1, -2) .. ',' .. ARGV[7] .. ']' or '[' .. ARGV[7] .. ']'
    move_delivery(ARGV[2], f, ARGV[5])
    redis.call('HSET', key, 'attempts', attempts)
    if ARGV[6] == '' then
        redis.call('HDEL', key, 'next_at')
        redis.call('ZREM', DUE, ARGV[2])
    else
        local next_at = now + tonumber(ARGV[6])
        redis.call('HSET', key, 'next_at', next_at)
        redis.call('ZADD', DUE, next_at, ARGV[2])
    end
    return remember(1)
end

return each(run)
