-- How many would be claimed before each of these.
-- KEYS[1] prefix of all keys, from which the script derives their names
-- ARGV[1...] of each message its number and its id
-- Returns a position for each; false for one that does not wait.
-- include: keys

local found = {}
for i = 1, #ARGV, 2 do found[#found + 1] = redis.call('ZRANK', WAITING, member_of(ARGV[i], ARGV[i + 1])) end
return found
