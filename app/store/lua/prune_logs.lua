-- Delete all but the terminal event of messages that ended longer ago than an age, or than their tenant's own age.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] age in milliseconds, ARGV[3] limit
-- Returns the count of messages, and (tenant, id) of messages without a thread.
-- include: keys
-- include: time
-- include: retention
-- include: once

local function prune_log(tenant, member, alone)
    local id = id_of(member)
    local key, log = message_key(id), log_key(id)
    local events = redis.call('LLEN', log)
    redis.call('LTRIM', log, -1, -1)
    redis.call('HINCRBY', key, 'dropped', events - 1)
    redis.call('ZADD', of_tenant('pruned', tenant), redis.call('ZSCORE', ENDED, member), member)
    redis.call('ZREM', of_tenant('logged', tenant), member)
    if redis.call('HEXISTS', key, 'thread_id') == 0 then
        alone[#alone + 1] = {tenant, id}
        redis.call('ZADD', DROPPED_MEMORIES, 0, memory_of_message(tenant, id))
    end
end

local function run(ARGV)
    if recalled then return recalled end
    local limit, count, alone = tonumber(ARGV[3]), 0, {}
    for _, bound in ipairs(bounds(time(ARGV[1]), 'event_retention_hours', 3600000, ARGV[2])) do
        if count == limit then break end
        local found = redis.call('ZRANGEBYSCORE', of_tenant('logged', bound[1]), '-inf', bound[2], 'LIMIT', 0, limit - count)
        for _, member in ipairs(found) do prune_log(bound[1], member, alone) end
        count = count + #found
    end
    local reply = {count, alone}
    return count == 0 and reply or remember(reply)
end

return each(run)
