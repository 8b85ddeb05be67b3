-- Ends an attempt and puts its message back as the head of its thread. A message that was cancelled ends as such.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] turn, ARGV[2] operation, ARGV[3] time or '', ARGV[4] id, ARGV[5] fence, ARGV[6] template of the event `cancelled`
-- (\1T time), ARGV[7] delay in milliseconds, ARGV[8] template of the event (\1A attempt, \1T time of the next, \1D first
-- event to drop), ARGV[9...] error and its code if the attempt failed; without them it is refunded
-- Returns 1, also when this fence has ended the message already; false when the lease is lost.
-- include: keys
-- include: once
-- include: time
-- include: messages
-- include: endings
-- include: attempts

local message, ended = attempt()
if not message then return ended end
local now, microseconds = clock(ARGV[3])
if ended_as_cancelled(message, now, ARGV[6]) then return remember(1) end
local run_at = now + tonumber(ARGV[7])
if ARGV[9] then
    note_attempt(message, now, ARGV[9], ARGV[10])
else
    redis.call('HINCRBY', message_key(message.id), 'attempt', -1)
end
put_back(message, above(message.fence, microseconds), now, run_at,
    fill(ARGV[8], {A = message.attempt, T = rfc3339(run_at), D = message.begun}))
return remember(1)
