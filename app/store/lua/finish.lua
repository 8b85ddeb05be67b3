-- Ends an attempt and its message; the next of its thread becomes ready. Repeating it changes nothing.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] turn, ARGV[2] operation, ARGV[3] time or '', ARGV[4] id, ARGV[5] fence, ARGV[6] state, ARGV[7] template of the
-- event (\1T time), ARGV[8...] the result if completed; error and its code if failed
-- Returns 1; false when the lease is lost.
-- include: keys
-- include: once
-- include: time
-- include: messages

if recalled then return recalled end
local message = leased(ARGV[4], ARGV[5])
if not message then
    local f = redis.call('HMGET', message_key(ARGV[4]), 'fence', 'completed_at')
    return f[2] and f[1] == ARGV[5] and 1 or false
end
local now = time(ARGV[3])
if ARGV[6] == 'completed' then
    redis.call('SET', result_key(message.id), ARGV[8])
else
    redis.call('HSET', message_key(message.id), 'error', ARGV[8], 'error_code', ARGV[9])
end
finish(message, ARGV[6], now, fill(ARGV[7], {T = rfc3339(now)}))
promote_next(message)
return remember(1)
