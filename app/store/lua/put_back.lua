-- End an attempt and queue its message again, as the head of its thread. A message that was cancelled ends as cancelled.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] id, ARGV[3] fence, ARGV[4] template of the event `cancelled` (\1T time), ARGV[5] delay
-- in milliseconds, ARGV[6] template of the event (\1A attempt, \1T time of the next, \1D first event to drop),
-- ARGV[7...] error, its code, details or '' if the attempt failed; without them the attempt is not counted
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
    local run_at = now + tonumber(ARGV[5])
    if ARGV[7] then
        note_attempt(message, now, ARGV[7], ARGV[8], ARGV[9])
    else
        redis.call('HINCRBY', message_key(message.id), 'attempt', -1)
    end
    put_back(ARGV[7] and 'retry' or 'released', message, above(message.fence, microseconds), now, run_at,
        fill(ARGV[6], {N = now, A = message.attempt, T = rfc3339(run_at), D = message.begun}))
    return remember(1)
end

return each(run)
