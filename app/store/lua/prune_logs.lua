-- Delete all but the terminal event of messages that ended longer ago than an age.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] age in milliseconds, ARGV[3] limit
-- Returns the count of messages, and (tenant, id) of messages without a thread.
-- include: keys
-- include: time
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local before = '(' .. string.format('%d', time(ARGV[1]) - tonumber(ARGV[2]))
    local found = redis.call('ZRANGEBYSCORE', LOGGED, '-inf', before, 'LIMIT', 0, ARGV[3])
    local alone = {}
    for _, member in ipairs(found) do
        local id = id_of(member)
        local key, log = message_key(id), log_key(id)
        local events = redis.call('LLEN', log)
        redis.call('LTRIM', log, -1, -1)
        redis.call('HINCRBY', key, 'dropped', events - 1)
        redis.call('ZREM', LOGGED, member)
        local f = redis.call('HMGET', key, 'tenant', 'thread_id')
        if not f[2] then
            alone[#alone + 1] = {f[1], id}
            redis.call('ZADD', DROPPED_MEMORIES, 0, memory_of_message(f[1], id))
        end
    end
    local reply = {#found, alone}
    return #found == 0 and reply or remember(reply)
end

return each(run)
