-- What every end of an attempt begins with. The message that ARGV[5] holds; else nil and the answer: what it was before,
-- 1 when this fence has ended the message already, false when the lease is lost.
local function attempt()
    if recalled then return nil, recalled end
    local message = leased(ARGV[4], ARGV[5])
    if message then return message end
    local f = redis.call('HMGET', message_key(ARGV[4]), 'fence', 'completed_at')
    return nil, f[2] and f[1] == ARGV[5] and 1 or false
end

-- Whether the message was cancelled, and has ended so.
local function ended_as_cancelled(message, now, template)
    if not message.cancelled then return false end
    finish(message, 'cancelled', now, fill(template, {T = rfc3339(now)}))
    promote_next(message, now)
    return true
end
