-- List the failed attempts of messages of a tenant, oldest first.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2...] ids
-- Returns for each message a list of attempts: number, worker, time of the start, time of the end, error, its code, and
-- its details as JSON where they are known.
-- include: keys

local found = {}
for i = 2, #ARGV do
    local of_message = {}
    if redis.call('HGET', message_key(ARGV[i]), 'tenant') == ARGV[1] then
        for j, packed in ipairs(redis.call('LRANGE', attempts_key(ARGV[i]), 0, -1)) do
            of_message[j] = cmsgpack.unpack(packed)
        end
    end
    found[i - 1] = of_message
end
return found
