-- Return the time at which a thread expires, nil if it does not: it has no TTL, or messages that have not ended. `default` is
-- the TTL of threads without their own, or ''. The second value tells whether there is such a thread.
local function expires_at(tenant, thread, default)
    local f = redis.call('HMGET', thread_key(tenant, thread), 'ttl_ms', 'queued', 'processing', 'interrupted', 'last_number')
    if not f[5] then return nil, false end
    local ttl = f[1] or default
    if ttl == '' or (f[2] or 0) + (f[3] or 0) + (f[4] or 0) > 0 then return nil, true end
    return redis.call('ZSCORE', of_tenant('threads', tenant), thread) + ttl, true
end
