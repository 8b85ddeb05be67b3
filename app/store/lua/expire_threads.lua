-- Find threads that had no activity for their TTL. `delete_thread.lua` deletes each of them, and checks it again.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] TTL of threads without their own in milliseconds, or '', ARGV[3] limit
-- Returns tenant and thread of each.
-- include: keys
-- include: time
-- include: expiry
-- include: once

local AT_ONCE = 100

local function run(ARGV)
    local now, default, limit, found = time(ARGV[1]), ARGV[2], tonumber(ARGV[3]), {}
    local bound = string.format('%.0f', now)
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', THREAD_TTLS, '-inf', bound, 'LIMIT', 0, AT_ONCE)) do
        local tenant, thread = scoped(name)
        local expires, exists = expires_at(tenant, thread, '')
        if not exists then
            redis.call('ZREM', THREAD_TTLS, name)
        elseif not expires or expires > now then -- it was used since, or is used
            redis.call('ZADD', THREAD_TTLS, expires or now + redis.call('HGET', thread_key(tenant, thread), 'ttl_ms'), name)
        elseif #found < limit then
            found[#found + 1] = {tenant, thread}
        end
    end
    if default == '' then return found end
    bound = string.format('%.0f', now - default)
    for _, tenant in ipairs(redis.call('SMEMBERS', PRUNABLE)) do
        local from, threads = 0, {}
        repeat
            threads = #found < limit and redis.call('ZRANGEBYSCORE', of_tenant('threads', tenant), '-inf', bound, 'LIMIT', from,
                AT_ONCE) or {}
            for _, thread in ipairs(threads) do
                if #found < limit and redis.call('HEXISTS', thread_key(tenant, thread), 'ttl_ms') == 0
                    and expires_at(tenant, thread, default) then
                    found[#found + 1] = {tenant, thread}
                end
            end
            from = from + AT_ONCE
        until #threads < AT_ONCE
    end
    return found
end

return each(run)
