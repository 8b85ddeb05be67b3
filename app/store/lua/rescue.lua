-- Takes back messages whose lease ran out: to the queue, or failed after too many crashes.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] turn, ARGV[2] operation, ARGV[3] time or '', ARGV[4] how many crashes are too many, ARGV[5] how many messages,
-- ARGV[6] template of the event `retry` (\1A attempt, \1T time of the next, \1D first event to drop), ARGV[7] template of
-- the event `error` (\1C crashes, \1T time), ARGV[8] template of the error (\1C crashes), ARGV[9] code of the error
-- Returns the ids.
-- include: keys
-- include: once
-- include: time
-- include: messages

if recalled then return recalled end
local now, microseconds = clock(ARGV[3])
local ids = {}
for i, member in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, ARGV[5])) do
    ids[i] = id_of(member)
    local message = load(ids[i])
    local key, fence = message_key(message.id), above(message.fence, microseconds)
    local crashes = redis.call('HINCRBY', key, 'crashes', 1)
    if crashes >= tonumber(ARGV[4]) then
        redis.call('HSET', key, 'fence', fence, 'error', fill(ARGV[8], {C = crashes}), 'error_code', ARGV[9])
        finish(message, 'failed', now, fill(ARGV[7], {C = crashes, T = rfc3339(now)}))
        promote_next(message)
    else
        requeue(message, fence, now, now, fill(ARGV[6], {A = message.attempt, T = rfc3339(now), D = message.begun}))
    end
end
if #ids > 0 then remember(ids) end
return ids
