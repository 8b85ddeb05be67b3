-- Delete messages that ended longer ago than an age, then threads without messages.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] age in milliseconds, ARGV[3] limit
-- Returns the count of messages, (tenant, id) of messages without a thread whose log was complete, and of threads.
-- include: keys
-- include: time
-- include: many
-- include: messages
-- include: endings
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local before = '(' .. string.format('%d', time(ARGV[1]) - tonumber(ARGV[2]))

    local found = redis.call('ZRANGEBYSCORE', ENDED, '-inf', before, 'LIMIT', 0, ARGV[3])
    local alone, threads = {}, {}
    for _, member in ipairs(found) do
        local message = load(id_of(member))
        if erase(message) and not message.thread then
            alone[#alone + 1] = {message.tenant, message.id}
            redis.call('ZADD', DROPPED_MEMORIES, 0, memory_of_message(message.tenant, message.id))
        end
    end
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', EMPTY, '-inf', before, 'LIMIT', 0, ARGV[3])) do
        local length, rest = name:match('^(%d+):(.*)$')
        local tenant, thread = rest:sub(1, length), rest:sub(length + 2)
        redis.call('ZREM', EMPTY, name)
        redis.call('ZREM', of_tenant('threads', tenant), thread)
        redis.call('ZREM', of_tenant('threads_created', tenant), thread)
        redis.call('UNLINK', thread_key(tenant, thread), thread_queue_key(tenant, thread),
            thread_messages_key(tenant, thread))
        threads[#threads + 1] = {tenant, thread}
        redis.call('ZADD', DROPPED_MEMORIES, 0, memory_of_thread(tenant, thread))
    end
    local reply = {#found, alone, threads}
    return #found + #threads == 0 and reply or remember(reply)
end

return each(run)
