-- Store and delete items.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] id of the message whose attempt writes, or '', ARGV[4] fence of the attempt,
-- then for each item its member, its value or '' to delete it, and its time to live in milliseconds or ''
-- Returns 1, false if the lease is lost.
-- include: keys
-- include: queue
-- include: time
-- include: items
-- include: once

local function put(now, tenant, member, value, ttl)
    local name = item_name(tenant, member)
    local key = item_key(name)
    local created_at = item_fields(name, time(now)) and redis.call('HGET', key, 'created_at') or now
    redis.call('HSET', key, 'value', value, 'created_at', created_at, 'updated_at', now)
    redis.call('ZADD', of_tenant('items', tenant), 0, member)
    if ttl == '' then
        redis.call('HDEL', key, 'ttl_ms', 'expires_at')
        redis.call('ZREM', ITEM_EXPIRY, name)
    else
        local expires_at = string.format('%.0f', time(now) + tonumber(ttl))
        redis.call('HSET', key, 'ttl_ms', ttl, 'expires_at', expires_at)
        redis.call('ZADD', ITEM_EXPIRY, expires_at, name)
    end
end

local function run(ARGV)
    if recalled then return recalled end
    if ARGV[3] ~= '' then
        local held = redis.call('HMGET', message_key(ARGV[3]), 'fence', 'state')
        if held[1] ~= ARGV[4] or held[2] == 'failed' or held[2] == 'cancelled' then return false end
    end
    for i = 5, #ARGV, 3 do
        if ARGV[i + 1] == '' then
            delete_item(ARGV[2], ARGV[i])
        else
            put(ARGV[1], ARGV[2], ARGV[i], ARGV[i + 1], ARGV[i + 2])
        end
    end
    return remember(1)
end

return each(run)
