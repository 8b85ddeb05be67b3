-- Delete usage of old hours.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] the hour before which to delete, ARGV[2] maximum number of hours of tenants
-- Returns how many were deleted.
-- include: keys
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local members = redis.call('ZRANGEBYSCORE', USAGE_HOURS, '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
    for _, member in ipairs(members) do
        local tenant, hour = scoped(member)
        redis.call('UNLINK', hourly_usage_key(tenant, hour))
        redis.call('ZREM', of_tenant('usage_hours', tenant), hour)
        redis.call('ZREM', USAGE_HOURS, member)
    end
    return #members == 0 and 0 or remember(#members)
end

return each(run)
