-- Change the priority of a queued message; the messages ahead in its thread inherit again.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] tenant, ARGV[2] id, ARGV[3] priority, ARGV[4...] each priority and its rank at time 0
-- Returns its row, its position, and threads left to settle, or its state if it is not queued. Returns false if the tenant
-- has no such message.
-- include: keys
-- include: messages
-- include: ranks
-- include: rows
-- include: once

local function run(ARGV)
    local function answer(left)
        local columns = row(ARGV[2])
        return {columns, position(columns), left}
    end

    if recalled then return answer(recalled) end
    unsettled = {}
    local message = load_of(ARGV[1], ARGV[2])
    if not message then return false end
    if message.state ~= 'queued' then return message.state end
    local ranks = {}
    for i = 4, #ARGV, 2 do ranks[ARGV[i]] = tonumber(ARGV[i + 1]) end
    local rank = message.base_rank + ranks[ARGV[3]] - ranks[message.priority]
    redis.call('HSET', message_key(message.id), 'priority', ARGV[3], 'base_rank', rank)
    if message.thread then
        settle(message.tenant, message.thread, tonumber(message.thread_number) + 1)
    elseif message.readiness == 'ready' then
        wait(message, rank)
    end
    return answer(remember(unsettled))
end

return each(run)
