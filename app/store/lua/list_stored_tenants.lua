-- Find tenants in one part of the database by their keys, since no set lists all of them.
-- KEYS[1] key prefix
-- ARGV[1] cursor of SCAN, ARGV[2] number of keys to look at
-- Returns the next cursor, '0' at the end, and the tenants.
-- include: keys

local kinds, tenants = {of_tenant('messages', ''), of_tenant('threads', ''), of_tenant('items', '')}, {}
local part = redis.call('SCAN', ARGV[1], 'COUNT', ARGV[2])
for _, key in ipairs(part[2]) do
    for _, kind in ipairs(kinds) do
        if string.sub(key, 1, #kind) == kind then tenants[#tenants + 1] = string.sub(key, #kind + 1) end
    end
end
return {part[1], tenants}
