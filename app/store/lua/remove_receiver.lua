-- Remove a receiver of a message.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] tenant, ARGV[2] id of the message, ARGV[3] name of the receiver
-- Returns 1, or 0 if the message has no such receiver. Returns false if the tenant has no such message.
-- include: keys
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local f = redis.call('HMGET', message_key(ARGV[2]), 'tenant', 'receivers')
    if f[1] ~= ARGV[1] then return false end
    local stored, kept = f[2] and cjson.decode(f[2]) or {}, {}
    for _, each in ipairs(stored) do
        if each.name ~= ARGV[3] then kept[#kept + 1] = each end
    end
    if #kept == #stored then return 0 end
    if #kept > 0 then
        redis.call('HSET', message_key(ARGV[2]), 'receivers', cjson.encode(kept))
    else
        redis.call('HDEL', message_key(ARGV[2]), 'receivers')
    end
    return remember(1)
end

return each(run)
