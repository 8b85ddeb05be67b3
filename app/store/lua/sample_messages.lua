-- Sample waiting, delayed, processing and ended messages of all tenants.
-- KEYS[1] key prefix
-- ARGV[1] limit of each kind
-- Returns for each message: id, tenant, thread, agent, state, readiness, attempt, crashes, worker, when it ended or was
-- accepted, and the code of its error or of its last failed attempt. What a message lacks is ''.
-- include: keys

local last, found = tonumber(ARGV[1]) - 1, {}

local function sample(members)
    for _, member in ipairs(members) do
        local id = id_of(member)
        local f = redis.call('HMGET', message_key(id), 'tenant', 'thread_id', 'agent', 'state', 'readiness', 'attempt',
            'crashes', 'worker', 'completed_at', 'created_at', 'error_code')
        if f[1] then
            local code, newest = f[11], nil
            if not code then newest = redis.call('LINDEX', attempts_key(id), -1) end
            if newest then code = cmsgpack.unpack(newest)[6] end
            found[#found + 1] = {id, f[1], f[2] or '', f[3], f[4], f[5] or '', f[6] or '0', f[7] or '0', f[8] or '',
                f[9] or f[10], code or ''}
        end
    end
end

sample(redis.call('ZRANGE', WAITING, 0, last))
sample(redis.call('ZRANGE', DELAYED, 0, last))
sample(redis.call('ZRANGE', LEASES, 0, last))
sample(redis.call('ZREVRANGE', ENDED, 0, last))
return found
