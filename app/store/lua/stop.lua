-- Remove a worker.
-- KEYS[1] key prefix
-- ARGV[1] time, ARGV[2] worker
-- include: keys
-- include: time

redis.call('ZREM', WORKERS, ARGV[2])
local removed = redis.call('DEL', worker_key(ARGV[2]))
if removed == 1 then
    record_other('worker.left', time(ARGV[1]), '', '', '', ARGV[2])
    keep_changes()
end
return removed
