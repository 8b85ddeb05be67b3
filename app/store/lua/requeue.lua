-- Puts failed messages back into the queue, each behind all of its thread; all of them or none.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] template of the event `retry` (\1A attempt, \1T time of the next, \1D
-- first event to drop), ARGV[4...9] each priority and its rank at time 0, then of each message its id and its
-- preview
-- Returns 1, row and position of each, and what is left to be settled; 0, the id of one that is no dead letter, and its state, or false when the tenant
-- has no such message.
-- include: keys
-- include: time
-- include: messages
-- include: endings
-- include: ranks
-- include: accepting
-- include: rows
-- include: once

local function run(ARGV)
    local FIRST = 10

    local function answer(left)
        local rows = {}
        for i = FIRST, #ARGV, 2 do
            local columns = row(ARGV[i])
            rows[#rows + 1] = {columns, position(columns)}
        end
        return {1, rows, left}
    end

    if recalled then return answer(recalled) end
    unsettled = {}
    local now, microseconds = clock(ARGV[1])
    local messages, ranks = {}, {}
    for i = FIRST, #ARGV, 2 do
        local message = load_of(ARGV[2], ARGV[i])
        if not message or message.state ~= 'failed' then return {0, ARGV[i], message and message.state or false} end
        message.preview = ARGV[i + 1]
        messages[#messages + 1] = message
    end
    for i = 4, FIRST - 1, 2 do ranks[ARGV[i]] = tonumber(ARGV[i + 1]) end

    local function requeue(message, number, preview)
        local key, log = message_key(message.id), log_key(message.id)
        local rank = ranks[message.priority] + accepted_at(number, now)
        unbury(message.tenant, message.id, message.number, redis.call('HGET', key, 'fingerprint'))
        redis.call('ZREM', ENDED, message.member)
        redis.call('ZREM', LOGGED, message.member)
        redis.call('HINCRBY', of_tenant('tallies', message.tenant), 'failed', -1)
        if message.thread then
            redis.call('HINCRBY', thread_key(message.tenant, message.thread), 'failed', -1)
        end
        message.number, message.member, message.run_at = number, member_of(number, message.id), 0
        enqueue(message, rank, now, preview)
        redis.call('HSET', key, 'number', number, 'state', 'queued', 'place', message.place, 'base_rank', rank,
            'attempt', 0, 'fence', above(message.fence, microseconds), 'dropped', message.dropped + redis.call('LLEN', log))
        if message.thread then redis.call('HSET', key, 'thread_number', message.thread_number) end
        redis.call('HDEL', key, 'started_at', 'completed_at', 'error', 'error_code', 'fingerprint', 'crashes', 'run_at',
            'begun')
        redis.call('DEL', log)
        redis.call('RPUSH', log, fill(ARGV[3], {A = message.attempt, T = rfc3339(now), D = '1'}))
    end

    -- The oldest first, so that those of a thread keep their order.
    table.sort(messages, function(a, b) return tonumber(a.number) < tonumber(b.number) end)
    local number = redis.call('GET', prefix .. 'number')
    for _, message in ipairs(messages) do
        number = above(number, microseconds)
        requeue(message, number, message.preview)
    end
    if number then redis.call('SET', prefix .. 'number', number) end
    return answer(remember(unsettled))
end

return each(run)
