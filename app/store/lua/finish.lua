-- End an attempt and its message; the next message of its thread becomes the head. A message that was cancelled ends as
-- cancelled. Repeating this changes nothing.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] id, ARGV[3] fence, ARGV[4] template of the event `cancelled` (\1T time), ARGV[5]
-- state, ARGV[6] template of the event (\1T time), ARGV[7...] if completed: result, count of run times
-- that matter, output or ''; if failed: error, its code, fingerprint, details or ''
-- Returns 1, false if the lease is lost.
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
    local now = time(ARGV[1])
    message.cancelled = message.cancelled or ARGV[5] == 'cancelled'
    if ended_as_cancelled(message, now, ARGV[4]) then return remember(1) end
    if ARGV[5] == 'completed' then
        redis.call('SET', result_key(message.id), ARGV[7])
        if ARGV[9] ~= '' then redis.call('HSET', message_key(message.id), 'output', ARGV[9]) end
        finish(message, 'completed', now, fill(ARGV[6], {N = now, T = rfc3339(now)}))
        if redis.call('RPUSH', THROUGHPUT, now - message.started_at) >= 2 * ARGV[8] then
            redis.call('LTRIM', THROUGHPUT, -tonumber(ARGV[8]), -1)
        end
    else
        note_attempt(message, now, ARGV[7], ARGV[8], ARGV[10])
        fail(message, now, fill(ARGV[6], {N = now, T = rfc3339(now)}), ARGV[7], ARGV[8], ARGV[9])
    end
    promote_next(message, now)
    return remember(1)
end

return each(run)
