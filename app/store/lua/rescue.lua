-- Rescue messages whose lease ran out: queue them again, fail them after too many crashes, or end cancelled ones.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] crashes after which a message fails, ARGV[3] limit, ARGV[4] template of the
-- event `cancelled` (\1T time), ARGV[5] template of the event `retry` (\1A attempt, \1T time of the next, \1D first
-- event to drop), ARGV[6] error of the attempt, ARGV[7] its code, ARGV[8] template of the event `error` (\1C
-- crashes, \1T time), ARGV[9] template of that error (\1C crashes), ARGV[10] its fingerprint
-- Returns the ids.
-- include: keys
-- include: time
-- include: messages
-- include: endings
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local now, microseconds = clock(ARGV[1])
    local ids = {}

    local function take_back(message)
        local key, fence = message_key(message.id), above(message.fence, microseconds)
        local crashes = redis.call('HINCRBY', key, 'crashes', 1)
        if message.cancelled then
            redis.call('HSET', key, 'fence', fence)
            finish(message, 'cancelled', now, fill(ARGV[4], {N = now, T = rfc3339(now)}))
            promote_next(message, now)
            return
        end
        note_attempt(message, now, ARGV[6], ARGV[7])
        if crashes >= tonumber(ARGV[2]) then
            redis.call('HSET', key, 'fence', fence)
            local event, error = fill(ARGV[8], {N = now, C = crashes, T = rfc3339(now)}), fill(ARGV[9], {C = crashes})
            fail(message, now, event, error, ARGV[7], ARGV[10])
            promote_next(message, now)
        else
            local values = {N = now, A = message.attempt, T = rfc3339(now), D = message.begun}
            put_back('lost', message, fence, now, now, fill(ARGV[5], values))
        end
    end

    for i, member in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, ARGV[3])) do
        ids[i] = id_of(member)
        take_back(load(ids[i]))
    end
    if #ids > 0 then remember(ids) end
    return ids
end

return each(run)
