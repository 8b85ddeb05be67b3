-- Find the message that an alias names.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] alias
-- Returns the id of the message, and of the first event that belongs to the alias; false without one.
-- include: keys

local named = redis.call('GET', alias_key(ARGV[1], ARGV[2]))
if not named then return false end
local space = string.find(named, ' ', 1, true)
return {string.sub(named, space + 1), tonumber(string.sub(named, 1, space - 1))}
