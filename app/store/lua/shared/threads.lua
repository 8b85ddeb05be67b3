-- A thread with the columns that `app.store.rows.to_thread` expects; nil when there is none.
local function thread_row(tenant, thread)
    local f = redis.call('HMGET', thread_key(tenant, thread), 'last_number', 'created_at', 'preview', 'queued',
        'processing', 'completed', 'failed', 'cancelled', 'interrupted')
    if not f[1] then return nil end
    return {thread, f[1], f[2], redis.call('ZSCORE', of_tenant('threads', tenant), thread), f[3], f[4] or '0',
        f[5] or '0', f[6] or '0', f[7] or '0', f[8] or '0', f[9] or '0'}
end
