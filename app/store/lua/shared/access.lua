-- Return an API key in `app.store.rows.KEY_COLUMNS`; false if there is none, or it is of another tenant. '' is any tenant.
local function api_key(tenant, id)
    local row = redis.call('HMGET', api_key_key(id), {api_key_columns})
    return row[{api_key.id}] and (tenant == '' or row[{api_key.tenant}] == tenant) and row
end

-- The new revision is at least the clock, and therefore above revisions that a server lost in a crash or failover.
local function raise_revision(given)
    local _, microseconds = clock(given)
    redis.call('SET', REVISION, above(redis.call('GET', REVISION), microseconds))
end
