-- List the aliases of a message.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] id
-- Returns for each alias its name, and the id of the first event that belongs to it. Empty for a message of another
-- tenant.
-- include: keys

local owner, stored = unpack(redis.call('HMGET', message_key(ARGV[2]), 'tenant', 'aliases'))
local found = {}
if owner ~= ARGV[1] or not stored then return found end
for i, alias in ipairs(cjson.decode(stored)) do
    local named = redis.call('GET', alias_key(ARGV[1], alias))
    found[i] = {alias, tonumber(string.sub(named, 1, string.find(named, ' ', 1, true) - 1))}
end
return found
