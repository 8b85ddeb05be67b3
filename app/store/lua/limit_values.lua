-- Read rows of limits.
-- KEYS[1] key prefix
-- ARGV names
-- Returns their values, false for a row that does not exist.
-- include: keys
-- include: limits

local keys = {}
for i, name in ipairs(ARGV) do keys[i] = limit_key(name) end
return redis.call('MGET', unpack(keys))
