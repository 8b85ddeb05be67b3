-- Notes what became of a try at a delivery.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] turn, ARGV[2] operation, ARGV[3] time or '', ARGV[4] id, ARGV[5] tries, ARGV[6] time until which it was taken,
-- ARGV[7] state, ARGV[8] milliseconds until it is due again or '', ARGV[9] the try as JSON
-- Returns 1, or 0 when that is no longer the newest claim.
-- include: keys
-- include: once
-- include: time

if recalled then return recalled end
local key, now = delivery_key(ARGV[4]), time(ARGV[3])
local f = redis.call('HMGET', key, 'state', 'tries', 'next_at', 'attempts')
if f[1] ~= 'pending' or f[2] ~= ARGV[5] or f[3] ~= ARGV[6] then return 0 end
local attempts = f[4] and f[4]:sub(1, -2) .. ',' .. ARGV[9] .. ']' or '[' .. ARGV[9] .. ']'
redis.call('HSET', key, 'state', ARGV[7], 'attempts', attempts)
if ARGV[8] == '' then
    redis.call('HDEL', key, 'next_at')
    redis.call('ZREM', DUE, ARGV[4])
else
    local next_at = now + tonumber(ARGV[8])
    redis.call('HSET', key, 'next_at', next_at)
    redis.call('ZADD', DUE, next_at, ARGV[4])
end
return remember(1)
