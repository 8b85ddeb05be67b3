-- Cancel an unfinished message. A processing message is only marked, and ends with its attempt.
local function cancel(message, now, microseconds, template)
    local key = message_key(message.id)
    if message.state == 'processing' then
        redis.call('HSET', key, 'cancel_requested', '1')
        return
    end
    redis.call('HSET', key, 'fence', above(message.fence, microseconds))
    finish(message, 'cancelled', now, fill(template, {T = rfc3339(now)}))
end
