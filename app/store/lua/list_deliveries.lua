-- List deliveries of a tenant's message, oldest first.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] id of the message
-- Returns their rows.
-- include: keys
-- include: deliveries

local rows = {}
for _, id in ipairs(redis.call('LRANGE', deliveries_key(ARGV[2]), 0, -1)) do
    local columns = delivery_row(id)
    if columns[{delivery.tenant}] == ARGV[1] then rows[#rows + 1] = columns end
end
return rows
