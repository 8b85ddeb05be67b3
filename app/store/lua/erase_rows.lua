-- Delete items, hours of usage and API keys, for an erasure.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] id of the erasure, ARGV[4] 1 if all of the tenant is erased, ARGV[5] first
-- namespace or '' for no items, ARGV[6] end of the namespaces, ARGV[7] limit of each kind
-- Returns the number of items, hours and keys.
-- include: keys
-- include: time
-- include: items
-- include: access
-- include: erasures
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local tenant, limit, counts = ARGV[2], tonumber(ARGV[7]), {0, 0, 0}
    if ARGV[5] ~= '' then
        local members = redis.call('ZRANGEBYLEX', of_tenant('items', tenant), '[' .. ARGV[5], '(' .. ARGV[6],
            'LIMIT', 0, limit)
        for _, member in ipairs(members) do delete_item(tenant, member) end
        counts[1] = #members
    end
    if ARGV[4] == '1' then
        local hours = redis.call('ZRANGE', of_tenant('usage_hours', tenant), 0, limit - 1)
        for _, hour in ipairs(hours) do
            redis.call('UNLINK', hourly_usage_key(tenant, hour))
            redis.call('ZREM', of_tenant('usage_hours', tenant), hour)
            redis.call('ZREM', USAGE_HOURS, scope(tenant, hour))
        end
        counts[2] = #hours
        for _, id in ipairs(redis.call('ZRANGE', API_KEYS, 0, -1)) do
            if counts[3] < limit and redis.call('HGET', api_key_key(id), 'tenant') == tenant then
                redis.call('UNLINK', api_key_key(id))
                redis.call('ZREM', API_KEYS, id)
                redis.call('SREM', LIVE_KEYS, id)
                counts[3] = counts[3] + 1
            end
        end
        if counts[3] > 0 then raise_revision(ARGV[1]) end
    end
    for i, kind in ipairs({'items', 'usage', 'api_keys'}) do count_erased(ARGV[3], kind, counts[i]) end
    return counts[1] + counts[2] + counts[3] == 0 and counts or remember(counts)
end

return each(run)
