-- Add the usage of a subject in some hours to the usage without a subject.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] tenant, ARGV[2] id of the erasure, ARGV[3] subject, ARGV[4] hour behind which to begin or '', ARGV[5] number of hours
-- Returns the last of these hours, false if none is left.
-- include: keys
-- include: erasures
-- include: usage
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local tenant, begin = ARGV[1], ARGV[4] == '' and '-inf' or '(' .. ARGV[4]
    local hours = redis.call('ZRANGEBYSCORE', of_tenant('usage_hours', tenant), begin, '+inf', 'LIMIT', 0, ARGV[5])
    for _, hour in ipairs(hours) do
        local rows = hourly_usage_key(tenant, hour)
        for _, field in ipairs(redis.call('HKEYS', rows)) do
            local key, subject, agent, model = unpack(cjson.decode(field))
            if subject == ARGV[3] then
                local counts = {}
                for number in string.gmatch(redis.call('HGET', rows, field), '%d+') do counts[#counts + 1] = number end
                redis.call('HDEL', rows, field)
                add_counts(rows, cjson.encode({key, '', agent, model}), counts)
                count_erased(ARGV[2], 'usage', 1)
            end
        end
    end
    if #hours == 0 then return false end
    return remember(hours[#hours])
end

return each(run)
