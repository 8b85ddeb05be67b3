-- Cancels a message that has not ended. One that is being processed is marked: it ends with its attempt.
local function cancel(message, now, microseconds, template)
    local key = message_key(message.id)
    if message.state == 'processing' then
        redis.call('HSET', key, 'cancel', '1')
        return
    end
    redis.call('HSET', key, 'fence', above(message.fence, microseconds))
    finish(message, 'cancelled', now, fill(template, {T = rfc3339(now)}))
end
