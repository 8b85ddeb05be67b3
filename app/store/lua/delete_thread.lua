-- Delete a thread and its messages; unfinished ones are cancelled first. Its id stays hidden until its memory is settled.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] thread, ARGV[4] template of the event `cancelled` (\1T time)
-- Returns the ids of its unfinished messages, 'running' if a message is processing, false without such a thread.
-- include: keys
-- include: time
-- include: many
-- include: messages
-- include: endings
-- include: cancels
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local now, microseconds = clock(ARGV[1])
    local tenant, thread = ARGV[2], ARGV[3]
    local f = redis.call('HMGET', thread_key(tenant, thread), 'last_number', 'processing')
    if not f[1] then return false end
    if tonumber(f[2] or 0) > 0 then return 'running' end
    local cancelled = {}
    for _, id in ipairs(redis.call('ZRANGE', thread_messages_key(tenant, thread), 0, -1)) do
        local message = load(id)
        if message.state == 'queued' or message.state == 'interrupted' then
            cancel(message, now, microseconds, ARGV[4])
            cancelled[#cancelled + 1] = id
            message = load(id)
        end
        erase(message)
        redis.call('SET', deleted_key(id), '1', 'EX', 172800)
    end
    redis.call('UNLINK', thread_key(tenant, thread), thread_queue_key(tenant, thread), thread_messages_key(tenant, thread))
    redis.call('ZREM', of_tenant('threads', tenant), thread)
    redis.call('ZREM', EMPTY, scope(tenant, thread))
    redis.call('HSET', HIDDEN, scope(tenant, thread), 'deleted')
    redis.call('ZADD', DROPPED_MEMORIES, 0, memory_of_thread(tenant, thread))
    return remember(cancelled)
end

return each(run)
