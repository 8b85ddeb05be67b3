-- Store the settings of a tenant, if its record has a revision.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] revision or '' for no record, ARGV[4] weight, ARGV[5] limits, ARGV[6] quotas,
-- ARGV[7] quotas of each end user, all as JSON, ARGV[8] days of retention or '', ARGV[9] hours of retention of events or ''
-- Returns its row; false if the record has another revision; 'erasing' if the tenant is being erased.
-- include: keys
-- include: queue
-- include: time
-- include: access
-- include: tenants
-- include: erasures
-- include: once

local function run(ARGV)
    if recalled then return tenant_row(ARGV[2]) end
    if erasing_kind(ARGV[2]) then return 'erasing' end
    local key, now = of_tenant('settings', ARGV[2]), string.format('%.0f', time(ARGV[1]))
    if (redis.call('HGET', key, 'revision') or '') ~= ARGV[3] then return false end
    local created_at = redis.call('HGET', key, 'created_at') or now
    raise_revision(ARGV[1])
    redis.call('DEL', key)
    redis.call('HSET', key, 'tenant', ARGV[2], 'weight', ARGV[4], 'limits', ARGV[5], 'quotas', ARGV[6],
        'subject_quotas', ARGV[7], 'revision', redis.call('GET', REVISION), 'created_at', created_at, 'changed_at', now)
    if ARGV[8] ~= '' then redis.call('HSET', key, 'retention_days', ARGV[8]) end
    if ARGV[9] ~= '' then redis.call('HSET', key, 'event_retention_hours', ARGV[9]) end
    redis.call('ZADD', TENANTS, 0, ARGV[2])
    remember(1)
    return tenant_row(ARGV[2])
end

return each(run)
