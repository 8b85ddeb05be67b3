-- Delete the usage of a subject in some hours.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] tenant, ARGV[2] id of the erasure, ARGV[3] subject, ARGV[4] hour behind which to begin or '', ARGV[5] number of hours
-- Returns the last of these hours, false if none is left.
-- include: keys
-- include: erasures
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local tenant, begin = ARGV[1], ARGV[4] == '' and '-inf' or '(' .. ARGV[4]
    local hours = redis.call('ZRANGEBYSCORE', of_tenant('usage_hours', tenant), begin, '+inf', 'LIMIT', 0, ARGV[5])
    for _, hour in ipairs(hours) do
        for _, field in ipairs(redis.call('HKEYS', hourly_usage_key(tenant, hour))) do
            if cjson.decode(field)[2] == ARGV[3] then
                redis.call('HDEL', hourly_usage_key(tenant, hour), field)
                count_erased(ARGV[2], 'usage', 1)
            end
        end
    end
    if #hours == 0 then return false end
    return remember(hours[#hours])
end

return each(run)
