-- Fails interrupted messages that nobody has answered in time.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] turn, ARGV[2] operation, ARGV[3] time or '', ARGV[4] how many, ARGV[5] template of the event `error` (\1T time),
-- ARGV[6] error, ARGV[7] its code, ARGV[8] its fingerprint
-- Returns the ids.
-- include: keys
-- include: once
-- include: time
-- include: messages
-- include: endings

if recalled then return recalled end
local now, microseconds = clock(ARGV[3])
local ids = {}
for i, member in ipairs(redis.call('ZRANGEBYSCORE', INTERRUPTED, '-inf', now, 'LIMIT', 0, ARGV[4])) do
    ids[i] = id_of(member)
    local message = load(ids[i])
    redis.call('HSET', message_key(message.id), 'fence', above(message.fence, microseconds))
    fail(message, now, fill(ARGV[5], {T = rfc3339(now)}), ARGV[6], ARGV[7], ARGV[8])
    promote_next(message, now)
end
if #ids > 0 then remember(ids) end
return ids
