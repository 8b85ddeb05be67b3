-- Deletes messages that ended before, then threads without any.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] turn, ARGV[2] operation, ARGV[3] time or '', ARGV[4] age in milliseconds, ARGV[5] how many
-- Returns how many, (tenant, id) of those without a thread whose log was whole, and (tenant, thread) of the threads.
-- include: keys
-- include: once
-- include: time

if recalled then return recalled end
local before = '(' .. string.format('%d', time(ARGV[3]) - tonumber(ARGV[4]))

local function leave_thread(tenant, thread, id, state)
    local key, messages = thread_key(tenant, thread), thread_messages_key(tenant, thread)
    redis.call('HINCRBY', key, state, -1)
    redis.call('ZREM', messages, id)
    if redis.call('ZCARD', messages) == 0 then
        redis.call('ZADD', EMPTY, redis.call('ZSCORE', of_tenant('threads', tenant), thread), scope(tenant, thread))
    end
end

local found = redis.call('ZRANGEBYSCORE', ENDED, '-inf', before, 'LIMIT', 0, ARGV[5])
local alone, threads = {}, {}
for _, member in ipairs(found) do
    local id = id_of(member)
    local f = redis.call('HMGET', message_key(id), 'tenant', 'thread', 'state')
    redis.call('ZREM', ENDED, member)
    local was_whole = redis.call('ZREM', LOGGED, member) == 1
    redis.call('UNLINK', message_key(id), content_key(id), result_key(id), log_key(id))
    redis.call('HINCRBY', of_tenant('tallies', f[1]), f[3], -1)
    if f[2] then
        leave_thread(f[1], f[2], id, f[3])
    elseif was_whole then
        alone[#alone + 1] = {f[1], id}
    end
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', EMPTY, '-inf', before)) do
    local length, rest = name:match('^(%d+):(.*)$')
    local tenant, thread = rest:sub(1, length), rest:sub(length + 2)
    redis.call('ZREM', EMPTY, name)
    redis.call('ZREM', of_tenant('threads', tenant), thread)
    redis.call('UNLINK', thread_key(tenant, thread), thread_queue_key(tenant, thread),
        thread_messages_key(tenant, thread))
    threads[#threads + 1] = {tenant, thread}
end
local reply = {#found, alone, threads}
return #found + #threads == 0 and reply or remember(reply)
