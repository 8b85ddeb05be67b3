-- Make held messages ready of each tenant that may run more.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] how many messages a tenant may run without a limit in its record, or 0, ARGV[2] limit for each agent
-- Returns how many, and 1 if messages are left of a tenant without a limit.
-- include: keys
-- include: messages
-- include: running
-- include: once

local function run(ARGV)
    local count, left = 0, 0
    for _, tenant in ipairs(redis.call('SMEMBERS', HOLDING)) do
        local room, most = room_of(tenant, tonumber(ARGV[1])), tonumber(ARGV[2])
        if room > 0 then
            local released = release(tenant, math.min(room, most))
            count = count + released
            if room == math.huge and released >= most then left = 1 end
        end
        if redis.call('EXISTS', of_tenant('held', tenant)) == 0 then redis.call('SREM', HOLDING, tenant) end
    end
    return {count, left}
end

return each(run)
