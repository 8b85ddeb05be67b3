-- Add a receiver to a message, in place of the one with its name.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] tenant, ARGV[2] id of the message, ARGV[3] receiver, ARGV[4] maximum number of receivers
-- Returns 1, or 0 if there are as many already. Returns false if the tenant has no such message.
-- include: keys
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local f = redis.call('HMGET', message_key(ARGV[2]), 'tenant', 'receivers')
    if f[1] ~= ARGV[1] then return false end
    local given, kept = cjson.decode(ARGV[3]), {}
    for _, each in ipairs(f[2] and cjson.decode(f[2]) or {}) do
        if each.name ~= given.name then kept[#kept + 1] = each end
    end
    if #kept >= tonumber(ARGV[4]) then return 0 end
    kept[#kept + 1] = given
    redis.call('HSET', message_key(ARGV[2]), 'receivers', cjson.encode(kept))
    return remember(1)
end

return each(run)
