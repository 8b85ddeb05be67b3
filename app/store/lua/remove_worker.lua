-- Takes a worker off the list of live ones.
-- KEYS[1] prefix of all keys, from which the script derives their names
-- ARGV[1] worker
-- include: keys

redis.call('ZREM', WORKERS, ARGV[1])
return redis.call('DEL', worker_key(ARGV[1]))
