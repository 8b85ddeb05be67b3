-- Get a thread of a tenant.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] thread
-- Returns its row; false if the tenant has no such thread.
-- include: keys
-- include: threads

return thread_row(ARGV[1], ARGV[2]) or false
