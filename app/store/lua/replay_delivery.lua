-- Makes a delivery due at once, with no tries.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] turn, ARGV[2] operation, ARGV[3] time or '', ARGV[4] tenant, ARGV[5] id
-- Returns its row; false when the tenant has no such delivery.
-- include: keys
-- include: once
-- include: time
-- include: deliveries

if recalled then return delivery_row(ARGV[5]) or false end
local key, now = delivery_key(ARGV[5]), time(ARGV[3])
if redis.call('HGET', key, 'tenant') ~= ARGV[4] then return false end
redis.call('HSET', key, 'state', 'pending', 'tries', 0, 'next_at', now)
redis.call('ZADD', DUE, now, ARGV[5])
remember(1)
return delivery_row(ARGV[5])
