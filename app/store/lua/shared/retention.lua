-- Return the times before which the logs, messages or empty threads of each tenant are too old: a list of tenant and bound, as
-- `ZRANGEBYSCORE` takes it. `field` is the tenant's own setting, of which a unit has `unit` milliseconds. Tenants without it
-- get `age`.
local function bounds(now, field, unit, age)
    local found = {}
    for i, tenant in ipairs(redis.call('SMEMBERS', PRUNABLE)) do
        local own = redis.call('HGET', of_tenant('settings', tenant), field)
        found[i] = {tenant, '(' .. string.format('%.0f', now - (own and own * unit or age))}
    end
    return found
end
