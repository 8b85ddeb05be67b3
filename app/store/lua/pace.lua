-- How fast the queue moves.
-- KEYS[1] prefix of all keys, from which the script derives their names
-- ARGV[1] how many of the newest completed messages count
-- Returns whether it is paused, the slots of all workers, how many messages are being processed, and how many milliseconds
-- each of the newest took.
-- include: keys

local slots = 0
for _, id in ipairs(redis.call('ZRANGE', WORKERS, 0, -1)) do
    slots = slots + tonumber(redis.call('HGET', worker_key(id), 'slots') or 0)
end
return {redis.call('EXISTS', PAUSED), slots, redis.call('ZCARD', LEASES),
    redis.call('LRANGE', PACE, -tonumber(ARGV[1]), -1)}
