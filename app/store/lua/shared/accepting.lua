-- Return whether a thread has unfinished messages.
local function is_busy(tenant, thread)
    local f = redis.call('HMGET', thread_key(tenant, thread), 'processing', 'interrupted')
    return tonumber(f[1] or 0) + tonumber(f[2] or 0) > 0 or redis.call('ZCARD', thread_queue_key(tenant, thread)) > 0
end

-- Return whether a thread refuses messages with `reject`: it has unfinished messages besides one that waits for a human.
local function refuses(tenant, thread)
    local f = redis.call('HMGET', thread_key(tenant, thread), 'processing', 'interrupted')
    local waiting = redis.call('ZCARD', thread_queue_key(tenant, thread))
    return tonumber(f[1] or 0) + tonumber(f[2] or 0) + waiting > (f[2] == '1' and 1 or 0)
end

-- Return whether a message of a thread waits for a human.
local function asks(tenant, thread) return tonumber(redis.call('HGET', thread_key(tenant, thread), 'interrupted') or 0) > 0 end

-- Return the time for a rank. It never falls from one message number to the next, even if the `now` of processes differ.
local function accepted_at(number, now) return math.max(now, math.floor(number / 1000)) end

-- Add a queued message at the end of its thread. Set its thread number and its readiness.
local function enqueue(message, rank, now, preview)
    message.thread_number, message.readiness, message.version = 0, 'ready', false
    if message.thread then
        local tenant, thread = message.tenant, message.thread
        local key, queue = thread_key(tenant, thread), thread_queue_key(tenant, thread)
        message.thread_number = redis.call('HINCRBY', key, 'last_number', 1)
        if message.thread_number == 1 and redis.call('HSETNX', key, 'created_at', now) == 1 then
            redis.call('ZADD', of_tenant('threads_created', tenant), now, thread)
        end
        redis.call('HSET', key, 'last_message_preview', preview)
        if is_busy(tenant, thread) then message.readiness = 'blocked' end
        redis.call('HINCRBY', key, 'queued', 1)
        redis.call('ZADD', of_tenant('threads', tenant), 'GT', now, thread)
        redis.call('ZREM', of_tenant('empty', tenant), thread)
        lift(tenant, thread, rank)
        redis.call('ZADD', queue, message.thread_number, message.member)
        redis.call('ZADD', thread_messages_key(tenant, thread), message.thread_number, message.id)
    end
    redis.call('ZADD', of_tenant('messages', message.tenant), message.number, message.id)
    if message.readiness == 'ready' and message.run_at > now then
        message.readiness = 'delayed'
        delay(message.tenant, message.member, message.run_at)
    else
        wait(message, rank)
    end
end
