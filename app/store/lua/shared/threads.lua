-- Return `app.store.redis.replies.THREAD_COLUMNS` of a thread, nil if there is none. Its hash lacks `thread_id` and
-- `last_activity`.
local function thread_row(tenant, thread)
    local columns = redis.call('HMGET', thread_key(tenant, thread), {thread_columns})
    if not columns[{thread.last_number}] then return nil end
    columns[{thread.thread_id}] = thread
    columns[{thread.last_activity}] = redis.call('ZSCORE', of_tenant('threads', tenant), thread)
    for i = {thread.queued}, #columns do columns[i] = columns[i] or '0' end -- counts by state
    return columns
end

-- Give a thread a TTL in milliseconds, or none with ''.
local function set_ttl(tenant, thread, ttl, active_at)
    if ttl == '' then
        redis.call('HDEL', thread_key(tenant, thread), 'ttl_ms')
        redis.call('ZREM', THREAD_TTLS, scope(tenant, thread))
        return
    end
    redis.call('HSET', thread_key(tenant, thread), 'ttl_ms', ttl)
    redis.call('ZADD', THREAD_TTLS, active_at + ttl, scope(tenant, thread))
end

-- Make a thread without messages. `source` (JSON), `name`, `metadata`, `subject` and `ttl` may be ''.
local function make_thread(tenant, thread, now, source, name, metadata, subject, ttl)
    local key = thread_key(tenant, thread)
    redis.call('HSET', key, 'last_number', 0, 'created_at', now, 'last_message_preview', '')
    if source ~= '' then redis.call('HSET', key, 'forked_from', source) end
    if name ~= '' then redis.call('HSET', key, 'name', name) end
    if subject ~= '' then redis.call('HSET', key, 'subject', subject) end
    if metadata ~= '' then redis.call('HSET', key, 'metadata', metadata) end
    redis.call('ZADD', of_tenant('threads', tenant), now, thread)
    redis.call('ZADD', of_tenant('threads_created', tenant), now, thread)
    redis.call('ZADD', of_tenant('empty', tenant), now, thread)
    redis.call('SADD', PRUNABLE, tenant)
    if ttl ~= '' then set_ttl(tenant, thread, ttl, now) end
end
