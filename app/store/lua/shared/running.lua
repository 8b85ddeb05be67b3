local most_running_of = {} -- by tenant

-- Return how many messages a tenant may run, 0 for any number. `default` is for tenants without a limit in their record.
local function most_running(tenant, default)
    local most = most_running_of[tenant]
    if not most then
        local limits = redis.call('HGET', of_tenant('settings', tenant), 'limits')
        most = limits and cjson.decode(limits).running or default
        most_running_of[tenant] = most
    end
    return most
end

-- Return how many more messages a tenant may run, math.huge for any number.
local function room_of(tenant, default)
    local most = most_running(tenant, default)
    if most == 0 then return math.huge end
    return most - redis.call('ZCARD', of_tenant('processing', tenant))
end
