-- Count the messages that go before a waiting message of their level although they were accepted later.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] id, ARGV[3] how many messages at the start of the level are looked at
-- Returns the count.
-- include: keys
-- include: order

local LEVEL = 1000000000000000
local f = redis.call('HMGET', message_key(ARGV[2]), 'tenant', 'number')
if f[1] ~= ARGV[1] then return 0 end
local member = member_of(f[2], ARGV[2])
local rank = tonumber(redis.call('ZSCORE', WAITING, member) or nil)
if not rank then return 0 end
local first = string.format('%.0f', math.floor(rank / LEVEL) * LEVEL)
local count = 0
for _, other in ipairs(redis.call('ZRANGEBYSCORE', WAITING, first, string.format('(%.0f', rank), 'LIMIT', 0, ARGV[3])) do
    if precedes(member, other) then count = count + 1 end
end
return count
