-- Delete a thread and its messages, waiting ones too. Its id stays hidden until its memory is settled.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] thread, ARGV[4] lifetime of request keys in milliseconds, ARGV[5]
-- the number that its last message must have, or '', ARGV[6] the id of the erasure that deletes it, or '', ARGV[7] 1 if its id
-- is noted as an erased name, ARGV[8] '-' to delete it in any case, else only if it has expired: the TTL of threads without their
-- own in milliseconds, or ''
-- Returns the ids of its unfinished messages, 'moved' if it has another last message, 'running' if a message is processing,
-- false without such a thread.
-- include: keys
-- include: time
-- include: many
-- include: messages
-- include: endings
-- include: erasures
-- include: expiry
-- include: once

-- Delete the deliveries and the aliases of a message, which few messages have.
local function delete_rarer(tenant, id, aliases)
    for _, delivery in ipairs(redis.call('LRANGE', deliveries_key(id), 0, -1)) do
        local f = redis.call('HMGET', delivery_key(delivery), 'state', 'event')
        redis.call('ZREM', DUE, delivery)
        redis.call('ZREM', deliveries_of_kind(tenant, f[1], f[2]), delivery)
        redis.call('UNLINK', delivery_key(delivery))
    end
    for _, alias in ipairs(aliases and cjson.decode(aliases) or {}) do redis.call('UNLINK', alias_key(tenant, alias)) end
end

local function run(ARGV)
    if recalled then return recalled end
    local tenant, thread, now = ARGV[2], ARGV[3], time(ARGV[1])
    local oldest = now - tonumber(ARGV[4])
    local counts = redis.call('HMGET', thread_key(tenant, thread), 'last_number', 'processing')
    if not counts[1] then return false end
    if ARGV[5] ~= '' and ARGV[5] ~= counts[1] then return 'moved' end
    if ARGV[8] ~= '-' and (expires_at(tenant, thread, ARGV[8]) or now + 1) > now then return 'moved' end
    if tonumber(counts[2] or 0) > 0 then return 'running' end

    -- One command for many messages, since the server does nothing else meanwhile.
    local ids = redis.call('ZRANGE', thread_messages_key(tenant, thread), 0, -1)
    local waiting, ended, failed, unfinished, ended_by_state = {}, {}, {}, {}, {}
    for _, id in ipairs(ids) do
        local f = redis.call('HMGET', message_key(id), 'number', 'state', 'readiness', 'agent', 'fingerprint', 'aliases',
            'created_at', 'priority')
        local message = {id = id, tenant = tenant, member = member_of(f[1], id), state = f[2], readiness = f[3],
            agent = f[4], fingerprint = f[5], thread = thread, priority = f[8]}
        if message.state == 'queued' or message.state == 'interrupted' then
            unfinished[#unfinished + 1] = id
            record('cancelled', message, now)
        end
        if message.state == 'interrupted' then
            leave_interrupted(message)
        elseif message.state == 'queued' and message.readiness == 'blocked' then
            waiting[#waiting + 1] = message.member
        elseif message.state == 'queued' then
            leave_waiting(message)
        else
            ended[#ended + 1] = message.member
            ended_by_state[message.state] = (ended_by_state[message.state] or 0) + 1
            if message.state == 'failed' then failed[#failed + 1] = message end
        end
        delete_rarer(tenant, id, f[6])
        leave_flow(message)
        redis.call('UNLINK', message_key(id), content_key(id), result_key(id), log_key(id), attempts_key(id),
            deliveries_key(id), usage_key(id))
        if tonumber(f[7]) > oldest then redis.call('SET', deleted_key(id), '1', 'EX', 172800) end
    end
    by_thousands(waiting, 'ZREM', WAITING)
    by_thousands(waiting, 'ZREM', of_tenant('waiting', tenant))
    by_thousands(ended, 'ZREM', ENDED)
    by_thousands(ended, 'ZREM', of_tenant('logged', tenant))
    by_thousands(ended, 'ZREM', of_tenant('pruned', tenant))
    by_thousands(ids, 'ZREM', of_tenant('messages', tenant))
    if #failed > 0 then remove_dead_letters(tenant, failed) end
    for state, count in pairs(ended_by_state) do redis.call('HINCRBY', of_tenant('tallies', tenant), state, -count) end

    redis.call('UNLINK', thread_key(tenant, thread), thread_queue_key(tenant, thread), thread_messages_key(tenant, thread))
    redis.call('ZREM', of_tenant('threads', tenant), thread)
    redis.call('ZREM', of_tenant('threads_created', tenant), thread)
    redis.call('ZREM', of_tenant('empty', tenant), thread)
    redis.call('ZREM', THREAD_TTLS, scope(tenant, thread))
    redis.call('HSET', HIDDEN, scope(tenant, thread), 'deleted')
    record_other('thread.deleted', now, tenant, thread, '', '')
    redis.call('ZADD', DROPPED_MEMORIES, 0, memory_of_thread(tenant, thread))
    if ARGV[6] ~= '' then
        count_erased(ARGV[6], 'threads', 1)
        count_erased(ARGV[6], 'memories', 1)
        if ARGV[7] == '1' then redis.call('SADD', erased_names_key(ARGV[6]), thread) end
    end
    return remember(unfinished)
end

return each(run)
