-- Return tenant and state of ended messages, in the order of their ends.
-- KEYS[1] key prefix
-- ARGV[1] how many to skip, ARGV[2] limit, ARGV[3] time after which no message may have ended
-- include: keys

local first, found = tonumber(ARGV[1]), {}
local members = redis.call('ZRANGE', ENDED, first, first + tonumber(ARGV[2]) - 1, 'WITHSCORES')
for i = 1, #members, 2 do
    if tonumber(members[i + 1]) > tonumber(ARGV[3]) then break end
    local f = redis.call('HMGET', message_key(id_of(members[i])), 'tenant', 'state')
    found[#found + 1] = {f[1] or '', f[2] or ''}
end
return found
