-- Queue failed messages again, each at the end of its thread; all of them or none. There may be a thousand. One command
-- therefore changes each sorted set and thread, and the reply has no texts or positions.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] template of the event `retry` (\1A attempt, \1T time of the next, \1D
-- first event to drop), ARGV[4...9] each priority and its rank at time 0, ARGV[10] order (`turns.lua`), then id and preview of
-- each message
-- Returns 1, a list of number, thread number, readiness and fence of each message, and threads left to settle. Otherwise
-- returns 0, the id of a message that is no dead letter, and its state, false if the tenant has no such message.
-- include: keys
-- include: time
-- include: many
-- include: messages
-- include: endings
-- include: ranks
-- include: turns
-- include: accepting
-- include: once

local FIRST = 11

-- Check all messages before anything is written. Return them, or nil and the refusal.
local function dead_letters(ARGV)
    local found = {}
    for i = FIRST, #ARGV, 2 do
        local id = ARGV[i]
        local f = redis.call('HMGET', message_key(id), 'tenant', 'state', 'number', 'thread_id', 'agent', 'priority',
            'attempt', 'fence', 'dropped', 'fingerprint', 'subject')
        if f[1] ~= ARGV[2] then return nil, {0, id, false} end
        if f[2] ~= 'failed' then return nil, {0, id, f[2]} end
        found[#found + 1] = {id = id, state = f[2], tenant = f[1], number = tonumber(f[3]), member = member_of(f[3], id),
            thread = f[4], agent = f[5], priority = f[6], attempt = tonumber(f[7] or 0), fence = f[8], dropped = tonumber(f[9] or 0),
            fingerprint = f[10], subject = f[11], preview = ARGV[i + 1]}
    end
    return found
end

-- Return the threads of these messages. Each has its messages in order, and its fields from before they are added.
local function threads_of(messages)
    local threads, by_name = {}, {}
    for _, message in ipairs(messages) do
        local thread = message.thread and by_name[message.thread]
        if message.thread and not thread then
            local key = thread_key(message.tenant, message.thread)
            local f = redis.call('HMGET', key, 'last_number', 'queued', 'failed', 'processing', 'interrupted')
            thread = {key = key, name = message.thread, tenant = message.tenant, messages = {}, last_number = tonumber(f[1]),
                queued = tonumber(f[2] or 0), failed = tonumber(f[3]), running = tonumber(f[4] or 0) + tonumber(f[5] or 0),
                waiting = redis.call('ZCARD', thread_queue_key(message.tenant, message.thread))}
            by_name[message.thread], threads[#threads + 1] = thread, thread
        end
        if thread then thread.messages[#thread.messages + 1] = message end
    end
    return threads
end

-- Add messages at the tail of their thread. Set their thread numbers, readiness and inherited ranks.
local function join(thread)
    local count, rank, queue, numbers = #thread.messages, math.huge, {}, {}
    for i = count, 1, -1 do
        local message = thread.messages[i]
        rank = math.min(rank, message.rank)
        message.thread_number, message.rank = thread.last_number + i, rank
        if i > 1 or thread.running + thread.waiting > 0 then message.readiness = 'blocked' end
        queue[2 * i - 1], queue[2 * i] = message.thread_number, message.member
        numbers[2 * i - 1], numbers[2 * i] = message.thread_number, message.id
    end
    if thread.waiting > 0 then lift(thread.tenant, thread.name, rank) end
    redis.call('HSET', thread.key, 'last_number', string.format('%.0f', thread.last_number + count), 'queued',
        thread.queued + count, 'failed', thread.failed - count, 'last_message_preview', thread.messages[count].preview)
    by_thousands(queue, 'ZADD', thread_queue_key(thread.tenant, thread.name))
    by_thousands(numbers, 'ZADD', thread_messages_key(thread.tenant, thread.name))
end

-- Remove the messages from the sets of ended messages. Replace their logs by the event `retry`.
local function revive(tenant, messages, now, template)
    local members, logs, time = {}, {}, rfc3339(now)
    for i, message in ipairs(messages) do
        members[i], logs[i] = message.member, log_key(message.id)
        message.dropped = message.dropped + redis.call('LLEN', logs[i])
    end
    remove_dead_letters(tenant, messages)
    by_thousands(members, 'ZREM', ENDED)
    by_thousands(members, 'ZREM', of_tenant('logged', tenant))
    by_thousands(members, 'ZREM', of_tenant('pruned', tenant))
    by_thousands(logs, 'UNLINK')
    redis.call('HINCRBY', of_tenant('tallies', tenant), 'failed', -#messages)
    for i, message in ipairs(messages) do
        redis.call('RPUSH', logs[i], fill(template, {N = now, A = message.attempt, T = time, D = '1'}))
    end
end

-- Add the messages to the sets of waiting messages. Call this after `join`, which sets ranks.
local function wait_all(tenant, messages, now)
    local waiting, ready, numbers = {}, {}, {}
    for i, message in ipairs(messages) do
        waiting[2 * i - 1], waiting[2 * i] = message.rank, message.member
        numbers[2 * i - 1], numbers[2 * i] = message.number, message.id
        if message.readiness == 'ready' then
            local list = ready[message.agent] or {}
            list[#list + 1] = message.rank
            list[#list + 1] = message.member
            ready[message.agent] = list
        end
        redis.call('HSET', message_key(message.id), 'number', message.number, 'state', 'queued', 'readiness', message.readiness,
            'base_rank', message.base_rank, 'attempt', 0, 'fence', message.fence, 'dropped', message.dropped,
            'thread_number', message.thread_number)
        redis.call('HDEL', message_key(message.id), 'started_at', 'completed_at', 'error', 'error_code', 'fingerprint',
            'crashes', 'run_at', 'begun', 'agent_version', 'first_chunk_at', 'flow')
        if message.flow ~= '' then redis.call('HSET', message_key(message.id), 'flow', message.flow) end
        record('requeued', message, now)
    end
    by_thousands(waiting, 'ZADD', WAITING)
    by_thousands(waiting, 'ZADD', of_tenant('waiting', tenant))
    by_thousands(numbers, 'ZADD', of_tenant('messages', tenant))
    for agent, list in pairs(ready) do by_thousands(list, 'ZADD', ready_key(agent)) end
end

local function run(ARGV)
    if recalled then return recalled end
    unsettled = {}
    local now, microseconds = clock(ARGV[1])
    local given, refused = dead_letters(ARGV)
    if refused then return refused end
    if #given == 0 then return {1, {}, unsettled} end

    -- Oldest first, so that the messages of a thread keep their order.
    local messages, ranks, active = {}, {}, {}
    for i, message in ipairs(given) do messages[i] = message end
    table.sort(messages, function(a, b) return a.number < b.number end)
    for i = 4, FIRST - 2, 2 do ranks[ARGV[i]] = tonumber(ARGV[i + 1]) end
    local threads, number = threads_of(messages), redis.call('GET', prefix .. 'number')
    revive(ARGV[2], messages, now, ARGV[3])
    forget_turns()
    for _, message in ipairs(messages) do
        number = above(number, microseconds)
        message.flow = flow_name(ARGV[10], message.subject)
        local first = ranks[message.priority]
        message.base_rank = take_turn(ARGV[10], message.tenant, message.flow, first, first + accepted_at(number, now))
        leave_flow(message)
        message.number, message.member, message.thread_number, message.readiness = number, member_of(number, message.id), 0, 'ready'
        message.fence = above(message.fence, microseconds)
        message.rank = message.base_rank
        join_flow(message, message.flow, message.base_rank)
    end
    for i, thread in ipairs(threads) do
        join(thread)
        active[2 * i - 1], active[2 * i] = now, thread.name
    end
    wait_all(ARGV[2], messages, now)
    by_thousands(active, 'ZADD', of_tenant('threads', ARGV[2]), 'GT')
    redis.call('SET', prefix .. 'number', number)

    local receipts = {}
    for i, message in ipairs(given) do
        receipts[i] = {tonumber(message.number), message.thread_number, message.readiness, tonumber(message.fence)}
    end
    return remember({1, receipts, unsettled})
end

local replies = each(run)
drop_outdated_turns()
return replies
