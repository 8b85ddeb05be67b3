-- Scan a part of a tenant's items in the order of their members.
-- KEYS[1] key prefix
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] and ARGV[4] bounds of the members, as ZRANGEBYLEX takes them, ARGV[5] limit,
-- ARGV[6] bytes of values after which to end early, or '' for no values
-- Returns member, time of the last update, and value of each, and the lower bound of the next part, false if none is left.
-- include: keys
-- include: time
-- include: items

local now, with_values = time(ARGV[1]), ARGV[6] ~= ''
local limit, most = tonumber(ARGV[5]), with_values and tonumber(ARGV[6]) or math.huge
local members = redis.call('ZRANGEBYLEX', of_tenant('items', ARGV[2]), ARGV[3], ARGV[4], 'LIMIT', 0, limit)
local rows, length = {}, 0
for i, member in ipairs(members) do
    local name = item_name(ARGV[2], member)
    local f = with_values and item_fields(name, now, 'value') or item_fields(name, now)
    if f then
        rows[#rows + 1] = {member, f[2], f[3]}
        length = length + (f[3] and #f[3] or 0)
    end
    if length >= most or (i == #members and i == limit) then return {rows, '(' .. member} end
end
return {rows, false}
