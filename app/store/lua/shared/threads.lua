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

-- Make a thread without messages. `source` (JSON), `name`, `metadata` and `subject` may be ''.
local function make_thread(tenant, thread, now, source, name, metadata, subject)
    local key = thread_key(tenant, thread)
    redis.call('HSET', key, 'last_number', 0, 'created_at', now, 'last_message_preview', '')
    if source ~= '' then redis.call('HSET', key, 'forked_from', source) end
    if name ~= '' then redis.call('HSET', key, 'name', name) end
    if subject ~= '' then redis.call('HSET', key, 'subject', subject) end
    if metadata ~= '' then redis.call('HSET', key, 'metadata', metadata) end
    redis.call('ZADD', of_tenant('threads', tenant), now, thread)
    redis.call('ZADD', of_tenant('threads_created', tenant), now, thread)
    redis.call('ZADD', EMPTY, now, scope(tenant, thread))
end
