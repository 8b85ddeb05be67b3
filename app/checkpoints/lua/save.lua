-- Save checkpoints, values, messages and writes. Return 0 and save nothing if the attempt may no longer write.
-- Return -1 and save nothing if the numbering is not the expected one: another process has added messages.
-- KEYS[2] index, KEYS[3] rows
-- ARGV[5] how many rows are saved only if there is none with their name; they come first
-- ARGV[6] the expected row of the numbering, 'new' if there is none, '' if messages are not numbered
-- ARGV[7] how many checkpoints there may be; with more, return what `list.lua` returns; -1 for any number
-- ARGV[8] the greatest number of rows to return then
-- ARGV[9..] name, row, name, row, ...
if is_late() then
    return 0
end
if ARGV[6] ~= '' and (redis.call('HGET', KEYS[3], 'n') or 'new') ~= ARGV[6] then
    return -1
end
local replaced = 9 + 2 * tonumber(ARGV[5])
for i = 9, replaced - 1, 2 do
    redis.call('HSETNX', KEYS[3], ARGV[i], ARGV[i + 1])
end
local indexed = {}
for i = 9, #ARGV, 2 do
    local kind = string.sub(ARGV[i], 1, 1)
    if kind == 'c' or kind == 'w' then
        table.insert(indexed, 0)
        table.insert(indexed, ARGV[i])
    end
end
-- a call takes some thousand arguments at most
for i = replaced, #ARGV, 1000 do
    redis.call('HSET', KEYS[3], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
for i = 1, #indexed, 1000 do
    redis.call('ZADD', KEYS[2], unpack(indexed, i, math.min(i + 999, #indexed)))
end
local most = tonumber(ARGV[7])
if most >= 0 and redis.call('ZLEXCOUNT', KEYS[2], '[c\0', '(c\1') > most then
    return listed(tonumber(ARGV[8]))
end
return 1
