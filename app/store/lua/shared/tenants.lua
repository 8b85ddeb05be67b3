-- Return the record of a tenant in `app.store.rows.TENANT_COLUMNS`; false if there is none.
local function tenant_row(tenant)
    local row = redis.call('HMGET', of_tenant('settings', tenant), {tenant_columns})
    return row[{tenant.tenant}] and row
end
