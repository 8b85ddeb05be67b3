-- Takes back messages whose lease ran out: to the queue, or failed after too many crashes; cancelled if they were.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] turn, ARGV[2] operation, ARGV[3] time or '', ARGV[4] how many crashes are too many, ARGV[5] how many messages,
-- ARGV[6] template of the event `cancelled` (\1T time), ARGV[7] template of the event `retry` (\1A attempt, \1T time of the
-- next, \1D first event to drop), ARGV[8] error of the attempt, ARGV[9] its code, ARGV[10] template of the event `error`
-- (\1C crashes, \1T time), ARGV[11] template of that error (\1C crashes), ARGV[12] its fingerprint
-- Returns the ids.
-- include: keys
-- include: once
-- include: time
-- include: messages
-- include: endings

if recalled then return recalled end
local now, microseconds = clock(ARGV[3])
local ids = {}

local function take_back(message)
    local key, fence = message_key(message.id), above(message.fence, microseconds)
    local crashes = redis.call('HINCRBY', key, 'crashes', 1)
    if message.cancelled then
        redis.call('HSET', key, 'fence', fence)
        finish(message, 'cancelled', now, fill(ARGV[6], {T = rfc3339(now)}))
        promote_next(message, now)
        return
    end
    note_attempt(message, now, ARGV[8], ARGV[9])
    if crashes >= tonumber(ARGV[4]) then
        redis.call('HSET', key, 'fence', fence)
        local event, error = fill(ARGV[10], {C = crashes, T = rfc3339(now)}), fill(ARGV[11], {C = crashes})
        fail(message, now, event, error, ARGV[9], ARGV[12])
        promote_next(message, now)
    else
        put_back(message, fence, now, now, fill(ARGV[7], {A = message.attempt, T = rfc3339(now), D = message.begun}))
    end
end

for i, member in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, ARGV[5])) do
    ids[i] = id_of(member)
    take_back(load(ids[i]))
end
if #ids > 0 then remember(ids) end
return ids
