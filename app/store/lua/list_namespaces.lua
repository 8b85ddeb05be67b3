-- List namespaces that have items, in order.
-- KEYS[1] key prefix
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] first text, ARGV[4] text behind the last, ARGV[5] limit
-- Returns the texts of the namespaces.
-- include: keys
-- include: time
-- include: items

local now, items = time(ARGV[1]), of_tenant('items', ARGV[2])
local first, last, limit, found = '[' .. ARGV[3], '(' .. ARGV[4], tonumber(ARGV[5]), {}
while #found < limit do
    local member = redis.call('ZRANGEBYLEX', items, first, last, 'LIMIT', 0, 1)[1]
    if not member then break end
    if item_fields(item_name(ARGV[2], member), now) then
        local namespace = string.match(member, '^[^%z]*')
        found[#found + 1] = namespace
        first = '[' .. namespace .. '\1' -- behind all items of this namespace
    else
        first = '(' .. member
    end
end
return found
