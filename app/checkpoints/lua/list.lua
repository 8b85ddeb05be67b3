-- Return the digest of the index, the names in it, and the rows of its first checkpoints.
-- Take the attempt's right to write first; return 0 if it may no longer write.
-- KEYS[2] index, KEYS[3] rows
-- ARGV[5] the greatest number of rows
if is_late() then
    return 0
end
local names, digest = index()
local rows = {}
for _, name in ipairs(names) do
    if #rows == tonumber(ARGV[5]) or string.sub(name, 1, 1) ~= 'c' then
        break
    end
    table.insert(rows, redis.call('HGET', KEYS[3], name))
end
return {digest, names, rows}
