-- Ends an attempt and its message; the next of its thread becomes its head. A message that was cancelled ends as such.
-- Repeating it changes nothing.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] turn, ARGV[2] operation, ARGV[3] time or '', ARGV[4] id, ARGV[5] fence, ARGV[6] template of the event `cancelled`
-- (\1T time), ARGV[7] state, ARGV[8] template of the event (\1T time), ARGV[9...] the result and how many run times are
-- kept if completed; error, its code and fingerprint if failed
-- Returns 1; false when the lease is lost.
-- include: keys
-- include: once
-- include: time
-- include: messages
-- include: endings
-- include: attempts

local message, ended = attempt()
if not message then return ended end
local now = time(ARGV[3])
message.cancelled = message.cancelled or ARGV[7] == 'cancelled'
if ended_as_cancelled(message, now, ARGV[6]) then return remember(1) end
if ARGV[7] == 'completed' then
    redis.call('SET', result_key(message.id), ARGV[9])
    finish(message, 'completed', now, fill(ARGV[8], {T = rfc3339(now)}))
    if redis.call('RPUSH', PACE, now - message.started_at) >= 2 * ARGV[10] then
        redis.call('LTRIM', PACE, -tonumber(ARGV[10]), -1)
    end
else
    note_attempt(message, now, ARGV[9], ARGV[10])
    fail(message, now, fill(ARGV[8], {T = rfc3339(now)}), ARGV[9], ARGV[10], ARGV[11])
end
promote_next(message, now)
return remember(1)
