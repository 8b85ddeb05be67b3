-- Save checkpoints, values and writes. Return 0 and save nothing if a later attempt has the conversation.
-- KEYS[2] index, KEYS[3] rows
-- ARGV[4] '1' to keep what is saved under a name already
-- ARGV[5..] name, row, name, row, ...
if is_late() then
    return 0
end
local save = ARGV[4] == '1' and 'HSETNX' or 'HSET'
for i = 5, #ARGV, 2 do
    redis.call(save, KEYS[3], ARGV[i], ARGV[i + 1])
    if string.sub(ARGV[i], 1, 1) ~= 'v' then
        redis.call('ZADD', KEYS[2], 0, ARGV[i])
    end
end
return 1
