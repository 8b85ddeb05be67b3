-- Read items.
-- KEYS[1] key prefix
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] bytes of values after which to end early, or '', ARGV[4...] members of the items
-- Returns value, creation time, time of the last update, and time to live or false of each; false if it does not exist.
-- include: keys
-- include: time
-- include: items

local now, most = time(ARGV[1]), ARGV[3] ~= '' and tonumber(ARGV[3]) or math.huge
local rows, length = {}, 0
for i = 4, #ARGV do
    local f = item_fields(item_name(ARGV[2], ARGV[i]), now, 'value', 'created_at', 'ttl_ms')
    rows[#rows + 1] = f and {f[3], f[4], f[2], f[5]} or false
    length = length + (f and #f[3] or 0)
    if length >= most then break end
end
return rows
