-- What every end of an attempt begins with. The message that this fence holds; else nil and the answer: 1 when it has
-- ended the message already, false when the lease is lost.
local function attempt(id, fence)
    local message = leased(id, fence)
    if message then return message end
    local f = redis.call('HMGET', message_key(id), 'fence', 'completed_at')
    return nil, f[2] and f[1] == fence and 1 or false
end

-- Whether the message was cancelled, and has ended so.
local function ended_as_cancelled(message, now, template)
    if not message.cancelled then return false end
    finish(message, 'cancelled', now, fill(template, {T = rfc3339(now)}))
    promote_next(message, now)
    return true
end
