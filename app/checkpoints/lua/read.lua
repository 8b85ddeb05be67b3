-- Return one checkpoint with its values, its writes and the numbering, as of one moment; nil if there is none.
-- Its messages are read afterwards, since most of them are known.
-- Take the attempt's right to write first; return 0 if it may no longer write.
-- KEYS[2] index, KEYS[3] rows
-- ARGV[5] namespace, ARGV[6] id, '' for the newest
if is_late() then
    return 0
end

local function names(kind, prefix)
    local first = kind .. '\0' .. prefix .. '\0'
    return first, string.sub(first, 1, -2) .. '\1'
end

local first, behind = names('c', ARGV[5])
local name = first .. ARGV[6]
if ARGV[6] == '' then
    name = redis.call('ZREVRANGEBYLEX', KEYS[2], '(' .. behind, '[' .. first, 'LIMIT', 0, 1)[1]
end
local row = name and redis.call('HGET', KEYS[3], name)
if not row then
    return nil
end

local values = {}
local header = cjson.decode(string.sub(row, 1, string.find(row, '\0', 1, true) - 1))
for _, value in ipairs(header.values) do
    table.insert(values, redis.call('HGET', KEYS[3], value))
end

local writes = {}
first, behind = names('w', string.sub(name, 3))
for _, write in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], '[' .. first, '(' .. behind)) do
    table.insert(writes, {write, redis.call('HGET', KEYS[3], write)})
end
return {name, row, values, writes, redis.call('HGET', KEYS[3], 'n')}
