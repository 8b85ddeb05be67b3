-- Let ready messages of an agent go on with another version.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] agent, ARGV[2] version, ARGV[3] the other version or '', ARGV[4] limit, ARGV[5] the event
-- Returns the ids.
-- include: keys
-- include: messages
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local ids = {}
    local members = redis.call('ZRANGE', ready_key(ARGV[1], ARGV[2]), 0, ARGV[4] - 1)
    for i, member in ipairs(members) do
        local message = load(id_of(member))
        local key, rank = message_key(message.id), rank_of(member)
        redis.call('ZREM', ready_key(ARGV[1], ARGV[2]), member)
        message.version = ARGV[3] ~= '' and ARGV[3]
        if message.version then
            redis.call('HSET', key, 'agent_version', message.version)
        else
            redis.call('HDEL', key, 'agent_version')
        end
        offer(message, rank)
        redis.call('RPUSH', log_key(message.id), ARGV[5])
        ids[i] = message.id
    end
    if #ids > 0 then remember(ids) end
    return ids
end

return each(run)
