-- Delete failed messages, all of them or none.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3...] ids, each once
-- Returns 1 and the ids of messages without a thread. Otherwise returns 0, the id of a message that is no dead letter, and
-- its state, false if the tenant has no such message.
-- include: keys
-- include: time
-- include: many
-- include: messages
-- include: endings
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local messages, alone = {}, {}
    for i = 3, #ARGV do
        local message = load_of(ARGV[2], ARGV[i])
        if not message or message.state ~= 'failed' then return {0, ARGV[i], message and message.state or false} end
        messages[#messages + 1] = message
        if not message.thread then alone[#alone + 1] = message.id end
    end
    local now = time(ARGV[1])
    for _, message in ipairs(messages) do
        erase(message)
        record('purged', message, now)
    end
    for _, id in ipairs(alone) do redis.call('ZADD', DROPPED_MEMORIES, 0, memory_of_message(ARGV[2], id)) end
    return remember({1, alone})
end

return each(run)
