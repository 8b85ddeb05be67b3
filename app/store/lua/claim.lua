-- Claim ready messages of some agents, lowest rank first; none while the queue is paused.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] worker, ARGV[3] limit, ARGV[4] lease in milliseconds, ARGV[5] template of the event
-- (\1A attempt), ARGV[6] how many messages a tenant may run without a limit in its record, or 0, ARGV[7...] for each list of
-- ready messages: the agent, the version that they wait for or '', and the version that the worker gives them or ''
-- Returns the rows of the claimed messages, and 1 if it held messages back, 2 if more may be ready behind these, else 0.
-- include: keys
-- include: time
-- include: messages
-- include: rows
-- include: running
-- include: once

local LEVEL, HELD_AT_ONCE = 1000000000000000, 100

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

-- Divide the first `depth` messages found: up to `limit` that may run, and those before and directly behind them that may not,
-- since their tenants run as many as they may. `app.policy.running` does the same.
local function admit(found, depth, limit, default)
    local taken, over, room = {}, {}, {}
    for i = 1, math.min(depth, #found) do
        local each = found[i]
        local message = load(id_of(each.member))
        local tenant = message.tenant
        local left = room[tenant] or room_of(tenant, default)
        each.message, room[tenant] = message, left > 0 and left - 1 or left
        if left <= 0 then
            over[#over + 1] = each
        elseif #taken == limit then
            break
        else
            taken[#taken + 1] = each
        end
    end
    return taken, over
end

-- Return up to `limit` messages to claim, lowest rank first. Hold back the messages ahead of them that may not run. Return 0 if
-- there are none, 1 if there are some, 2 if more messages may be ready behind them.
local function admitted(limit, default, lists, first)
    local taken, over = admit(find(limit, lists, first), limit, limit, default)
    if #over == 0 then return taken, 0 end
    local depth = limit + HELD_AT_ONCE
    taken, over = admit(find(depth, lists, first), depth, limit, default)
    for _, each in ipairs(over) do
        local version = lists[each.list + 1]
        each.message.version = version ~= '' and version
        hold_back(each.message, each.rank)
    end
    return taken, #taken < limit and #over >= HELD_AT_ONCE and 2 or 1
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

-- Note the ranks of messages as claimed, lowest first.
local function raise_claimed_ranks(claimed)
    local highest = {}
    for _, each in ipairs(claimed) do highest[math.floor(each.rank / LEVEL)] = each.rank end
    for level, rank in pairs(highest) do
        if rank > tonumber(redis.call('HGET', CLAIMED_RANKS, level) or -1) then redis.call('HSET', CLAIMED_RANKS, level, rank) end
    end
end

local function run(ARGV)
    local taken, held = recalled, 0
    if not taken then
        taken = {}
        local now, microseconds = clock(ARGV[1])
        local limit, lease = tonumber(ARGV[3]), tonumber(ARGV[4])
        local found = {}
        if limit > 0 and redis.call('EXISTS', PAUSED) == 0 then
            found, held = admitted(limit, tonumber(ARGV[6]), ARGV, 7)
        end
        for i, each in ipairs(found) do
            local at = each.list
            local version, own = ARGV[at + 1] ~= '' and ARGV[at + 1], ARGV[at + 2] ~= '' and ARGV[at + 2]
            taken[i] = take(each.message, version, own, ARGV[2], lease, ARGV[5], now, microseconds)
        end
        raise_claimed_ranks(found)
        if #taken > 0 then remember(taken) end
    end
    local rows = {}
    for _, claimed in ipairs(taken) do
        -- When a claim is repeated, its lease may already be lost, and the fence may be another worker's.
        if leased(claimed[1], claimed[2]) then rows[#rows + 1] = row(claimed[1]) end
    end
    return {rows, held}
end

return each(run)
