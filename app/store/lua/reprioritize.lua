-- Gives a queued message another priority; those ahead in its thread inherit anew.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] tenant, ARGV[2] id, ARGV[3] priority, ARGV[4...] each priority and its rank at time 0
-- Returns its row and its position; its state when it is not queued; false when the tenant has no such message.
-- include: keys
-- include: messages
-- include: ranks
-- include: rows
-- include: once

local function run(ARGV)
    local function answer()
        local columns = row(ARGV[2])
        return {columns, position(columns)}
    end

    if recalled then return answer() end
    local message = load_of(ARGV[1], ARGV[2])
    if not message then return false end
    if message.state ~= 'queued' then return message.state end
    local ranks = {}
    for i = 4, #ARGV, 2 do ranks[ARGV[i]] = tonumber(ARGV[i + 1]) end
    local rank = message.base_rank + ranks[ARGV[3]] - ranks[message.priority]
    redis.call('HSET', message_key(message.id), 'priority', ARGV[3], 'base_rank', rank)
    if message.thread then
        local queue = thread_queue_key(message.tenant, message.thread)
        local place = redis.call('ZRANK', queue, message.member)
        settle(message.tenant, queue, place + 1, place + 1)
    elseif message.place == 'ready' then
        wait(message, rank)
    end
    remember(true)
    return answer()
end

return each(run)
