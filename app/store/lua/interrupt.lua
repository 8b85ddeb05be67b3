-- End an attempt with a question to a human; the message stays the head of its thread. A message that was cancelled ends
-- as cancelled.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] id, ARGV[3] fence, ARGV[4] template of the event `cancelled` (\1T time), ARGV[5]
-- milliseconds until the question expires, ARGV[6] template of the event (\1A attempt, \1T time when it expires),
-- ARGV[7] the question
-- Returns 1, also if this fence has already ended the message. Returns false if the lease is lost.
-- include: keys
-- include: time
-- include: messages
-- include: endings
-- include: attempts
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local message, ended = attempt(ARGV[2], ARGV[3])
    if not message then return ended end
    local now, microseconds = clock(ARGV[1])
    if ended_as_cancelled(message, now, ARGV[4]) then return remember(1) end
    local key, expires_at = message_key(message.id), now + tonumber(ARGV[5])
    leave_worker(message)
    redis.call('HSET', key, 'state', 'interrupted', 'fence', above(message.fence, microseconds), 'interrupt', ARGV[7],
        'interrupt_expires_at', expires_at)
    redis.call('HDEL', key, 'worker', 'resume_value')
    redis.call('ZADD', INTERRUPTED, expires_at, message.member)
    redis.call('ZADD', of_tenant('interrupted', message.tenant), message.number, message.id)
    local event = fill(ARGV[6], {N = now, A = message.attempt, T = rfc3339(expires_at)})
    local event_id = message.dropped + redis.call('RPUSH', log_key(message.id), event)
    recount(message, 'processing', 'interrupted', now)
    record('interrupted', message, now)
    local id = message.id .. '.' .. message.number .. '.' .. string.format('%.0f', event_id)
    deliver(message, 'interrupted', now, event, id)
    return remember(1)
end

return each(run)
