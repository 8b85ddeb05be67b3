-- Find threads that had no activity for their TTL. `delete_thread.lua` deletes each of them, and checks it again.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] TTL of threads without their own in milliseconds, or '', ARGV[3] limit, ARGV[4] and ARGV[5] where to go on:
-- a tenant, '' at the beginning, and the number of its threads that were passed
-- Returns tenant and thread of each, and where to go on, false at the end.
-- include: keys
-- include: time
-- include: expiry
-- include: once

local AT_ONCE, PASSED_AT_ONCE = 100, 500

-- Find threads with a TTL of their own.
local function find_own(now, limit, found)
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
end

-- Find the other threads, and pass up to PASSED_AT_ONCE threads and tenants. Return where to go on, false at the end.
local function find_others(now, default, limit, found, begin, from)
    local bound, left, tenants = string.format('%.0f', now - default), PASSED_AT_ONCE, redis.call('SMEMBERS', PRUNABLE)
    table.sort(tenants)
    for _, tenant in ipairs(tenants) do
        if tenant ~= begin then from = 0 end
        while tenant >= begin do
            if left <= 0 or #found >= limit then return {tenant, from} end
            local threads = redis.call('ZRANGEBYSCORE', of_tenant('threads', tenant), '-inf', bound, 'LIMIT', from, AT_ONCE)
            for _, thread in ipairs(threads) do
                if #found >= limit then return {tenant, from} end
                if redis.call('HEXISTS', thread_key(tenant, thread), 'ttl_ms') == 0 and expires_at(tenant, thread, default) then
                    found[#found + 1] = {tenant, thread}
                end
                from = from + 1
            end
            left = left - 1 - #threads
            if #threads < AT_ONCE then break end
        end
    end
    return false
end

local function run(ARGV)
    local now, default, limit, found = time(ARGV[1]), ARGV[2], tonumber(ARGV[3]), {}
    if ARGV[4] == '' then find_own(now, limit, found) end
    if #found >= limit then return {found, {'', 0}} end
    if default == '' then return {found, false} end
    return {found, find_others(now, default, limit, found, ARGV[4], tonumber(ARGV[5]))}
end

return each(run)
