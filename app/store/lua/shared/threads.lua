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
