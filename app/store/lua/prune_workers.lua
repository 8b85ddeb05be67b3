-- Forgets workers that have not been heard of for long.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] turn, ARGV[2] operation, ARGV[3] time or '', ARGV[4] age in milliseconds
-- Returns how many.
-- include: keys
-- include: once
-- include: time

if recalled then return recalled end
local before = '(' .. string.format('%d', time(ARGV[3]) - tonumber(ARGV[4]))
local silent = redis.call('ZRANGEBYSCORE', WORKERS, '-inf', before)
for _, id in ipairs(silent) do
    redis.call('ZREM', WORKERS, id)
    redis.call('DEL', worker_key(id))
end
return #silent == 0 and 0 or remember(#silent)
