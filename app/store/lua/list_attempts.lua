-- The failed attempts of messages, oldest first.
-- KEYS[1] prefix of all keys, from which the script derives their names
-- ARGV[1...] ids
-- Returns for each message a list of attempt, worker, time of its start, time of its end, error, code of the error,
-- and its details as JSON where they are known.
-- include: keys

local found = {}
for i, id in ipairs(ARGV) do
    found[i] = {}
    for j, packed in ipairs(redis.call('LRANGE', attempts_key(id), 0, -1)) do found[i][j] = cmsgpack.unpack(packed) end
end
return found
