-- Compare the counts of some threads of a tenant with their messages. Repair what differs. Threads with more than MOST messages
-- are left out, since the server does nothing else meanwhile.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] tenant, ARGV[2] cursor, ARGV[3] number of threads, roughly
-- Returns the next cursor, and counter, its value and the count for each difference.
-- include: keys
-- include: once

local STATES = {'queued', 'processing', 'interrupted', 'completed', 'failed', 'cancelled'}
local MOST = 500

local function run(ARGV)
    if recalled then return recalled end
    local tenant, found = ARGV[1], {}
    local scanned = redis.call('ZSCAN', of_tenant('threads', tenant), ARGV[2], 'COUNT', ARGV[3])
    for i = 1, #scanned[2], 2 do
        local thread = scanned[2][i]
        local ids = redis.call('ZRANGE', thread_messages_key(tenant, thread), 0, MOST)
        if #ids <= MOST then
            local counted, key = {}, thread_key(tenant, thread)
            for _, id in ipairs(ids) do
                local state = redis.call('HGET', message_key(id), 'state')
                if state then counted[state] = (counted[state] or 0) + 1 end
            end
            local told = redis.call('HMGET', key, unpack(STATES))
            for j, state in ipairs(STATES) do
                local is = counted[state] or 0
                if tonumber(told[j] or 0) ~= is then
                    redis.call('HSET', key, state, is)
                    found[#found + 1] = {state .. ' messages of thread ' .. thread .. ' of tenant ' .. tenant,
                        told[j] or '0', tostring(is)}
                end
            end
        end
    end
    local reply = {scanned[1], found}
    return #found == 0 and reply or remember(reply)
end

return each(run)
