-- Claim ready messages of some agents, lowest rank first; none while the queue is paused.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] worker, ARGV[3] limit, ARGV[4] lease in milliseconds, ARGV[5] template of the event
-- (\1A attempt), ARGV[6...] for each list of ready messages: the agent, the version that they wait for or '', and the
-- version that the worker gives them or ''
-- Returns the rows of the claimed messages.
-- include: keys
-- include: time
-- include: messages
-- include: rows
-- include: once

local LEVEL = 1000000000000000

local function find(limit, lists, first)
    local found = {}
    for i = first, #lists, 3 do
        local version = lists[i + 1] ~= '' and lists[i + 1]
        local ready = redis.call('ZRANGE', ready_key(lists[i], version), 0, limit - 1, 'WITHSCORES')
        for j = 1, #ready, 2 do
            local member = ready[j]
            local rank, number = tonumber(ready[j + 1]), tonumber(member:sub(1, 16))
            found[#found + 1] = {member = member, rank = rank, number = number, list = i}
        end
    end
    table.sort(found, function(a, b) return a.rank < b.rank or (a.rank == b.rank and a.number < b.number) end)
    return found
end

-- `version` is the version that the message waits for, false for any, and `own` the version that it gets.
local function take(message, version, own, worker, lease, template, now, microseconds)
    message.version = version
    leave_queue(message)
    -- No message starts before the change that made it ready. Another process may have dated that change a little later.
    local key, began = message_key(message.id), math.max(now, message.since)
    if tonumber(message.number) > began * 1000 then
        began = math.max(began, tonumber(redis.call('HGET', key, 'created_at')))
    end
    local attempt = redis.call('HINCRBY', key, 'attempt', 1)
    local fence = above(message.fence, microseconds)
    redis.call('HDEL', key, 'readiness')
    local is_first, wait = redis.call('HSETNX', key, 'started_at', began) == 1, nil
    if is_first then wait = began - math.max(tonumber(redis.call('HGET', key, 'created_at')), message.run_at) end
    local begun = message.dropped + redis.call('RPUSH', log_key(message.id), fill(template, {N = began, A = attempt}))
    redis.call('HSET', key, 'state', 'processing', 'fence', fence, 'worker', worker, 'begun', begun)
    if own ~= version then redis.call('HSET', key, 'agent_version', own) end
    redis.call('ZADD', LEASES, now + lease, message.member)
    redis.call('ZADD', of_tenant('processing', message.tenant), began, message.member)
    if message.thread then redis.call('HSET', thread_key(message.tenant, message.thread), 'head', message.id) end
    recount(message, 'queued', 'processing', began)
    record('processing', message, began, wait)
    return {message.id, fence}
end

-- Note the ranks of the first `count` messages found, lowest first, as claimed.
local function raise_claimed_ranks(found, count)
    local highest = {}
    for i = 1, count do highest[math.floor(found[i].rank / LEVEL)] = found[i].rank end
    for level, rank in pairs(highest) do
        if rank > tonumber(redis.call('HGET', CLAIMED_RANKS, level) or -1) then redis.call('HSET', CLAIMED_RANKS, level, rank) end
    end
end

local function run(ARGV)
    local taken = recalled
    if not taken then
        taken = {}
        local now, microseconds = clock(ARGV[1])
        local limit, lease = tonumber(ARGV[3]), tonumber(ARGV[4])
        local found = limit > 0 and redis.call('EXISTS', PAUSED) == 0 and find(limit, ARGV, 6) or {}
        for i = 1, math.min(limit, #found) do
            local message, at = load(id_of(found[i].member)), found[i].list
            local version, own = ARGV[at + 1] ~= '' and ARGV[at + 1], ARGV[at + 2] ~= '' and ARGV[at + 2]
            taken[i] = take(message, version, own, ARGV[2], lease, ARGV[5], now, microseconds)
        end
        raise_claimed_ranks(found, #taken)
        if #taken > 0 then remember(taken) end
    end
    local rows = {}
    for _, claimed in ipairs(taken) do
        -- When a claim is repeated, its lease may already be lost, and the fence may be another worker's.
        if leased(claimed[1], claimed[2]) then rows[#rows + 1] = row(claimed[1]) end
    end
    return rows
end

return each(run)
