-- Get the queue positions of messages.
-- KEYS[1] key prefix
-- ARGV[1...] number and id of each message
-- Returns a position for each, false if it is delayed or not queued.
-- include: keys

local found = {}
for i = 1, #ARGV, 2 do found[#found + 1] = redis.call('ZRANK', WAITING, member_of(ARGV[i], ARGV[i + 1])) end
return found
