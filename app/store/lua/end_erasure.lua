-- Complete an erasure.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] id
-- Returns 1, 0 if messages or threads of the tenant or of the thread have come since.
-- include: keys
-- include: time
-- include: erasures
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local key = erasure_key(ARGV[2])
    local f = redis.call('HMGET', key, 'tenant', 'kind', 'name', 'ended_at')
    if f[4] then return 1 end
    local tenant, kind, name = f[1], f[2], f[3]
    if kind == 'tenant' then
        if redis.call('EXISTS', of_tenant('messages', tenant), of_tenant('threads', tenant)) > 0 then return 0 end
        redis.call('UNLINK', of_tenant('tallies', tenant), of_tenant('queued_by_priority', tenant))
    elseif kind == 'thread' and redis.call('EXISTS', thread_key(tenant, name)) == 1 then
        return 0
    end
    redis.call('HSET', key, 'ended_at', string.format('%.0f', time(ARGV[1])), 'name', '')
    redis.call('HDEL', ERASING, erased_target(kind, tenant, name))
    redis.call('UNLINK', erased_names_key(ARGV[2]))
    return remember(1)
end

return each(run)
