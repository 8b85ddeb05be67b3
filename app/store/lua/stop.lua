-- Remove a worker.
-- KEYS[1] key prefix
-- ARGV[1] worker
-- include: keys

redis.call('ZREM', WORKERS, ARGV[1])
return redis.call('DEL', worker_key(ARGV[1]))
