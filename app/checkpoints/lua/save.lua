-- Save checkpoints, values, messages and writes. Return 0 and save nothing if the attempt may no longer write.
-- Return -1 and save nothing if the numbering is not the expected one: another process has added messages.
-- KEYS[2] index, KEYS[3] rows
-- ARGV[5] '1' to keep what is saved under a name already
-- ARGV[6] the expected row of the numbering, 'new' if there is none, '' if messages are not numbered
-- ARGV[7] the greatest number of checkpoints to return, as `list.lua` does; 0 to return 1
-- ARGV[8..] name, row, name, row, ...
if is_late() then
    return 0
end
if ARGV[6] ~= '' and (redis.call('HGET', KEYS[3], 'n') or 'new') ~= ARGV[6] then
    return -1
end
local save = ARGV[5] == '1' and 'HSETNX' or 'HSET'
for i = 8, #ARGV, 2 do
    redis.call(save, KEYS[3], ARGV[i], ARGV[i + 1])
    local kind = string.sub(ARGV[i], 1, 1)
    if kind == 'c' or kind == 'w' then
        redis.call('ZADD', KEYS[2], 0, ARGV[i])
    end
end
if ARGV[7] ~= '0' then
    return listed(tonumber(ARGV[7]))
end
return 1
