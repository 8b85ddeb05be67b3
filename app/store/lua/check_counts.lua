-- Compare the ended messages by state, and the dead letters of all tenants, with a count. Repair what differs.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time up to which ended messages were counted, ARGV[2] their number, ARGV[3...] tenant, state and count
-- Returns counter, its value and the count for each difference. The count is void if a counted message is gone, or if too
-- many have ended since.
-- include: keys
-- include: once

local STATES = {'completed', 'failed', 'cancelled'}
local MOST_SINCE = 5000

local function run(ARGV)
    if recalled then return recalled end
    if redis.call('ZCOUNT', ENDED, '-inf', ARGV[1]) ~= tonumber(ARGV[2]) then return {} end
    local since = redis.call('ZRANGEBYSCORE', ENDED, '(' .. ARGV[1], '+inf', 'LIMIT', 0, MOST_SINCE)
    if #since == MOST_SINCE then return {} end
    local counted, failed = {}, 0
    local function count(tenant, state, number)
        counted[tenant] = counted[tenant] or {}
        counted[tenant][state] = (counted[tenant][state] or 0) + number
        if state == 'failed' then failed = failed + number end
    end
    for i = 3, #ARGV, 3 do count(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])) end
    for _, member in ipairs(since) do
        local f = redis.call('HMGET', message_key(id_of(member)), 'tenant', 'state')
        count(f[1], f[2], 1)
    end
    local found = {}
    for tenant, states in pairs(counted) do
        local tallies = redis.call('HMGET', of_tenant('tallies', tenant), unpack(STATES))
        for i, state in ipairs(STATES) do
            local told, is = tonumber(tallies[i] or 0), states[state] or 0
            if told ~= is then
                redis.call('HSET', of_tenant('tallies', tenant), state, is)
                found[#found + 1] = {state .. ' messages of tenant ' .. tenant, tostring(told), tostring(is)}
            end
        end
    end
    local told = tonumber(redis.call('GET', DEAD_LETTERS) or 0)
    if told ~= failed then
        redis.call('SET', DEAD_LETTERS, failed)
        found[#found + 1] = {'dead letters of all tenants', tostring(told), tostring(failed)}
    end
    return #found == 0 and found or remember(found)
end

return each(run)
