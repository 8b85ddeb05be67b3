-- Gives a message back to the queue as the head of its thread, with the attempt refunded.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] turn, ARGV[2] operation, ARGV[3] time or '', ARGV[4] id, ARGV[5] fence, ARGV[6] delay in milliseconds,
-- ARGV[7] template of the event (\1A attempt, \1T time of the next, \1D first event to drop)
-- Returns 1, also when this fence has ended the message already; false when the lease is lost.
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
local now, microseconds = clock(ARGV[3])
local run_at = now + tonumber(ARGV[6])
redis.call('HINCRBY', message_key(message.id), 'attempt', -1)
requeue(message, above(message.fence, microseconds), now, run_at,
    fill(ARGV[7], {A = message.attempt, T = rfc3339(run_at), D = message.begun}))
return remember(1)
