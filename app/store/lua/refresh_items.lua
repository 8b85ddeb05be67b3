-- Let the time to live of items begin again.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3...] members of the items
-- Returns 1.
-- include: keys
-- include: time
-- include: items
-- include: once

local function run(ARGV)
    local now = time(ARGV[1])
    for i = 3, #ARGV do
        local name = item_name(ARGV[2], ARGV[i])
        local f = item_fields(name, now, 'ttl_ms')
        if f and f[3] then
            local expires_at = string.format('%.0f', now + tonumber(f[3]))
            redis.call('HSET', item_key(name), 'expires_at', expires_at)
            redis.call('ZADD', ITEM_EXPIRY, expires_at, name)
        end
    end
    return 1
end

return each(run)
