-- List the records of tenants in the order of their names.
-- KEYS[1] key prefix
-- ARGV[1] lowest name as in ZRANGEBYLEX, ARGV[2] maximum number
-- Returns rows.
-- include: keys
-- include: tenants

local rows = {}
for _, tenant in ipairs(redis.call('ZRANGEBYLEX', TENANTS, ARGV[1], '+', 'LIMIT', 0, ARGV[2])) do
    rows[#rows + 1] = tenant_row(tenant)
end
return rows
