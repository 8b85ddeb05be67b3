-- Return the next cursor, '0' at the end, and the bytes of the rows in a part of a conversation.
-- KEYS[3] rows
-- ARGV[1] cursor of HSCAN
-- ARGV[2] how many rows to look at
local part = redis.call('HSCAN', KEYS[3], ARGV[1], 'COUNT', ARGV[2])
local bytes = 0
for i = 2, #part[2], 2 do
    bytes = bytes + #part[2][i]
end
return {part[1], bytes}
