-- Fail interrupted messages that nobody answered in time.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] limit, ARGV[3] template of the event `error` (\1T time), ARGV[4] error, ARGV[5] its
-- code, ARGV[6] its fingerprint
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
    for i, member in ipairs(redis.call('ZRANGEBYSCORE', INTERRUPTED, '-inf', now, 'LIMIT', 0, ARGV[2])) do
        ids[i] = id_of(member)
        local message = load(ids[i])
        redis.call('HSET', message_key(message.id), 'fence', above(message.fence, microseconds))
        fail(message, now, fill(ARGV[3], {N = now, T = rfc3339(now)}), ARGV[4], ARGV[5], ARGV[6])
        promote_next(message, now)
    end
    if #ids > 0 then remember(ids) end
    return ids
end

return each(run)
