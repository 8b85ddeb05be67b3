-- Remove a worker from the list.
-- KEYS[1] prefix of all keys
-- ARGV[1] worker
-- include: keys

redis.call('ZREM', WORKERS, ARGV[1])
return redis.call('DEL', worker_key(ARGV[1]))
