-- Get the record of a tenant.
-- KEYS[1] key prefix
-- ARGV[1] tenant
-- Returns its row; false if there is none.
-- include: keys
-- include: tenants

return tenant_row(ARGV[1])
