-- Make a delivery due at once, with 0 tries.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] id
-- Returns its row; false if the tenant has no such delivery.
-- include: keys
-- include: time
-- include: deliveries
-- include: once

local function run(ARGV)
    if recalled then return delivery_row(ARGV[3]) or false end
    local key, now = delivery_key(ARGV[3]), time(ARGV[1])
    local f = redis.call('HMGET', key, 'tenant', 'event', 'state', 'created_at')
    if f[1] ~= ARGV[2] then return false end
    move_delivery(ARGV[3], f, 'pending')
    redis.call('HSET', key, 'tries', 0, 'next_at', now)
    redis.call('ZADD', DUE, now, ARGV[3])
    remember(1)
    return delivery_row(ARGV[3])
end

return each(run)
