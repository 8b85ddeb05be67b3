-- Change the priority of a queued message; the messages ahead in its thread inherit again.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] id, ARGV[4] priority, ARGV[5...] each priority and its rank at time 0
-- Returns its row, its position, and threads left to settle, or its state if it is not queued. Returns false if the tenant
-- has no such message.
-- include: keys
-- include: time
-- include: messages
-- include: ranks
-- include: rows
-- include: once

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
    for i = 5, #ARGV, 2 do ranks[ARGV[i]] = tonumber(ARGV[i + 1]) end
    local rank = message.base_rank + ranks[ARGV[4]] - ranks[message.priority]
    redis.call('HSET', message_key(message.id), 'priority', ARGV[4], 'base_rank', rank)
    if message.priority ~= ARGV[4] then
        message.priority = ARGV[4]
        record('priority', message, time(ARGV[1]))
    end
    if message.thread then
        settle(message.tenant, message.thread, tonumber(message.thread_number) + 1)
    elseif message.readiness == 'ready' then
        wait(message, rank)
    end
    return answer(remember(unsettled))
end

return each(run)
