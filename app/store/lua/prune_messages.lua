-- Delete messages that ended longer ago than an age, or than their tenant's own age, then threads without messages.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] age in milliseconds, ARGV[3] limit
-- Returns the count of messages, (tenant, id) of messages without a thread whose log was complete, and of threads.
-- include: keys
-- include: time
-- include: many
-- include: messages
-- include: endings
-- include: retention
-- include: once

local function prune_message(member, alone)
    local message = load(id_of(member))
    if erase(message) and not message.thread then
        alone[#alone + 1] = {message.tenant, message.id}
        redis.call('ZADD', DROPPED_MEMORIES, 0, memory_of_message(message.tenant, message.id))
    end
end

local function prune_thread(tenant, thread, threads)
    redis.call('ZREM', of_tenant('empty', tenant), thread)
    redis.call('ZREM', of_tenant('threads', tenant), thread)
    redis.call('ZREM', of_tenant('threads_created', tenant), thread)
    redis.call('UNLINK', thread_key(tenant, thread), thread_queue_key(tenant, thread),
        thread_messages_key(tenant, thread))
    threads[#threads + 1] = {tenant, thread}
    redis.call('ZADD', DROPPED_MEMORIES, 0, memory_of_thread(tenant, thread))
end

local function run(ARGV)
    if recalled then return recalled end
    local limit, count, alone, threads = tonumber(ARGV[3]), 0, {}, {}
    for _, bound in ipairs(bounds(time(ARGV[1]), 'retention_days', 86400000, ARGV[2])) do
        local tenant, before = bound[1], bound[2]
        for _, kind in ipairs({'pruned', 'logged'}) do
            local found = redis.call('ZRANGEBYSCORE', of_tenant(kind, tenant), '-inf', before, 'LIMIT', 0, limit - count)
            for _, member in ipairs(found) do prune_message(member, alone) end
            count = count + #found
        end
        local empty = redis.call('ZRANGEBYSCORE', of_tenant('empty', tenant), '-inf', before, 'LIMIT', 0, limit - #threads)
        for _, thread in ipairs(empty) do prune_thread(tenant, thread, threads) end
        if redis.call('EXISTS', of_tenant('pruned', tenant), of_tenant('logged', tenant), of_tenant('empty', tenant)) == 0 then
            redis.call('SREM', PRUNABLE, tenant)
        end
        if count == limit and #threads == limit then break end
    end
    local reply = {count, alone, threads}
    return count + #threads == 0 and reply or remember(reply)
end

return each(run)
