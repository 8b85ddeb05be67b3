-- One checkpoint with its values and writes, as of one moment; nil when there is none.
-- KEYS[1] index, KEYS[2] rows
-- ARGV[1] namespace, ARGV[2] id, '' for the newest
local function names(kind, prefix)
    local first = kind .. '\0' .. prefix .. '\0'
    return first, string.sub(first, 1, -2) .. '\1'
end

local first, behind = names('c', ARGV[1])
local name = first .. ARGV[2]
if ARGV[2] == '' then
    name = redis.call('ZREVRANGEBYLEX', KEYS[1], '(' .. behind, '[' .. first, 'LIMIT', 0, 1)[1]
end
local row = name and redis.call('HGET', KEYS[2], name)
if not row then
    return nil
end

local values = {}
local header = cjson.decode(string.sub(row, 1, string.find(row, '\0', 1, true) - 1))
for _, value in ipairs(header.values) do
    table.insert(values, redis.call('HGET', KEYS[2], value))
end

local writes = {}
first, behind = names('w', string.sub(name, 3))
for _, write in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], '[' .. first, '(' .. behind)) do
    table.insert(writes, {write, redis.call('HGET', KEYS[2], write)})
end
return {name, row, values, writes}
