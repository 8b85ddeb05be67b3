-- Delete failed messages, all of them or none.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] tenant, ARGV[2...] ids, each once
-- Returns 1 and the ids of messages without a thread. Otherwise returns 0, the id of a message that is no dead letter, and
-- its state, false if the tenant has no such message.
-- include: keys
-- include: many
-- include: messages
-- include: endings
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local messages, alone = {}, {}
    for i = 2, #ARGV do
        local message = load_of(ARGV[1], ARGV[i])
        if not message or message.state ~= 'failed' then return {0, ARGV[i], message and message.state or false} end
        messages[#messages + 1] = message
        if not message.thread then alone[#alone + 1] = message.id end
    end
    for _, message in ipairs(messages) do erase(message) end
    for _, id in ipairs(alone) do redis.call('ZADD', DROPPED_MEMORIES, 0, memory_of_message(ARGV[1], id)) end
    return remember({1, alone})
end

return each(run)
