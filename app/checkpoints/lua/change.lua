-- Delete rows and replace others. Return 0 and change nothing if the attempt may no longer write.
-- Return -1 and change nothing if there are other checkpoints than expected.
-- KEYS[2] index, KEYS[3] rows
-- ARGV[5] the digest of the expected checkpoints
-- ARGV[6] how many rows to delete
-- ARGV[7..] their names, then name, row, name, row, ... to replace
if is_late() then
    return 0
end
local _, _, digest = index()
if digest ~= ARGV[5] then
    return -1
end
local written = 7 + tonumber(ARGV[6])
for i = 7, written - 1 do
    redis.call('HDEL', KEYS[3], ARGV[i])
    redis.call('ZREM', KEYS[2], ARGV[i])
end
for i = written, #ARGV, 2 do
    redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
end
return 1
