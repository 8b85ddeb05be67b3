-- Return the message that this fence holds. Otherwise return nil and the reply: 1 if this fence has already ended the
-- message, false if the lease is lost.
local function attempt(id, fence)
    local message = leased(id, fence)
    if message then return message end
    local f = redis.call('HMGET', message_key(id), 'fence', 'completed_at')
    return nil, f[2] and f[1] == fence and 1 or false
end

-- End a message as cancelled if it was cancelled. Return whether it was.
local function ended_as_cancelled(message, now, template)
    if not message.cancelled then return false end
    finish(message, 'cancelled', now, fill(template, {N = now, T = rfc3339(now)}))
    promote_next(message, now)
    return true
end
