-- Store when API keys were last used.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV id and time of each
-- Returns 1.
-- include: keys
-- include: queue
-- include: once

local function run(ARGV)
    for i = 1, #ARGV, 2 do
        local key = api_key_key(ARGV[i])
        local found = redis.call('HMGET', key, 'id', 'last_used_at')
        if found[1] and tonumber(found[2] or 0) < tonumber(ARGV[i + 1]) then
            redis.call('HSET', key, 'last_used_at', ARGV[i + 1])
        end
    end
    return 1
end

return each(run)
