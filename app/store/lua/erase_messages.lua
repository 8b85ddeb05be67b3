-- Delete messages that have ended, for an erasure.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] id of the erasure, ARGV[4] lifetime of request keys in milliseconds, ARGV[5] 1 if the
-- ids are noted as erased names, then ids of messages
-- Returns the ids of the deleted messages.
-- include: keys
-- include: time
-- include: many
-- include: messages
-- include: endings
-- include: erasures
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local tenant, erasure, oldest = ARGV[2], ARGV[3], time(ARGV[1]) - tonumber(ARGV[4])
    local deleted, counts = {}, {events = 0, attempts = 0, deliveries = 0, aliases = 0, memories = 0}
    for i = 6, #ARGV do
        local id = ARGV[i]
        local message = load_of(tenant, id)
        if message and redis.call('ZSCORE', ENDED, message.member) then
            local f = redis.call('HMGET', message_key(id), 'aliases', 'created_at')
            counts.events = counts.events + redis.call('LLEN', log_key(id))
            counts.attempts = counts.attempts + redis.call('LLEN', attempts_key(id))
            counts.deliveries = counts.deliveries + redis.call('LLEN', deliveries_key(id))
            counts.aliases = counts.aliases + (f[1] and #cjson.decode(f[1]) or 0)
            if tonumber(f[2]) > oldest then redis.call('SET', deleted_key(id), '1', 'EX', 172800) end
            if erase(message) and not message.thread then
                redis.call('ZADD', DROPPED_MEMORIES, 0, memory_of_message(tenant, id))
                counts.memories = counts.memories + 1
            end
            if ARGV[5] == '1' then redis.call('SADD', erased_names_key(erasure), id) end
            deleted[#deleted + 1] = id
        end
    end
    count_erased(erasure, 'messages', #deleted)
    for kind, number in pairs(counts) do count_erased(erasure, kind, number) end
    return #deleted == 0 and deleted or remember(deleted)
end

return each(run)
