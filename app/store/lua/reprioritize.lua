-- Change the priority of a queued message; the messages ahead in its thread inherit again.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] id, ARGV[4] priority, ARGV[5] order (`turns.lua`), ARGV[6...] each priority and its rank
-- at time 0
-- Returns its row, its position, and threads left to settle, or its state if it is not queued. Returns false if the tenant
-- has no such message.
-- include: keys
-- include: order
-- include: time
-- include: messages
-- include: ranks
-- include: turns
-- include: rows
-- include: once

-- Maximum number of messages of a flow that are looked at: the server does nothing else meanwhile.
local MOST_SEEN = 10000

-- Return the first rank among the messages of a flow that were accepted after the message and wait. Messages with ranks below
-- the highest claimed one have had their turn. `first` is the first rank of the level.
local function rank_of_next(message, key, first)
    local claimed = tonumber(redis.call('HGET', CLAIMED_RANKS, first / LEVEL) or first)
    local from = string.format('%.0f', math.max(first, claimed))
    for seen = 0, MOST_SEEN - 1, 500 do
        local members = redis.call('ZRANGEBYSCORE', key, from, '+inf', 'WITHSCORES', 'LIMIT', seen, 500)
        for i = 1, #members, 2 do
            local member = members[i]
            if precedes(message.member, member) and redis.call('HGET', message_key(id_of(member)), 'state') == 'queued' then
                return tonumber(members[i + 1])
            end
        end
        if #members < 1000 then return nil end
    end
end

-- Return the rank of a message with another priority: its place among the messages of its flow. It shares the turn of the next
-- one that was accepted after it. `before` and `first` are the first ranks of the old and the new level.
local function rank_with(message, order, before, first)
    local f = redis.call('HMGET', message_key(message.id), 'unplaced', 'flow')
    local flow, rank = f[2] or '', message.base_rank + first - before
    if f[1] then return rank end
    leave_flow(message)
    if order == 'tenant' or order == 'subject' then
        forget_turns()
        rank = rank_of_next(message, flow_key(message.tenant, flow, first), first)
            or take_turn(order, message.tenant, flow, first)
    end
    join_flow(message, flow, rank)
    return rank
end

local function run(ARGV)
    local function answer(left)
        local columns = row(ARGV[3])
        return {columns, position(columns), left}
    end

    if recalled then return answer(recalled) end
    unsettled = {}
    local message = load_of(ARGV[2], ARGV[3])
    if not message then return false end
    if message.state ~= 'queued' then return message.state end
    local ranks = {}
    for i = 6, #ARGV, 2 do ranks[ARGV[i]] = tonumber(ARGV[i + 1]) end
    local rank = message.base_rank
    if message.priority ~= ARGV[4] then
        rank = rank_with(message, ARGV[5], ranks[message.priority], ranks[ARGV[4]])
        redis.call('HSET', message_key(message.id), 'priority', ARGV[4], 'base_rank', rank)
        local queued = of_tenant('queued_by_priority', message.tenant)
        redis.call('HINCRBY', queued, message.priority, -1)
        redis.call('HINCRBY', queued, ARGV[4], 1)
        message.priority = ARGV[4]
        record('priority', message, time(ARGV[1]))
    end
    if message.thread then
        settle(message.tenant, message.thread, tonumber(message.thread_number) + 1)
    elseif message.readiness == 'ready' or message.readiness == 'held' then
        leave_waiting(message)
        message.readiness = 'ready'
        redis.call('HSET', message_key(message.id), 'readiness', 'ready')
        wait(message, rank)
    end
    release(message.tenant, 1)  -- another message may now be the first of its tenant
    return answer(remember(unsettled))
end

local replies = each(run)
drop_outdated_turns()
return replies
