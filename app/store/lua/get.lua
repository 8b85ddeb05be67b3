-- Get a message of a tenant.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] id
-- Returns its row and its position, false if the tenant has no such message.
-- include: keys
-- include: rows

if redis.call('HGET', message_key(ARGV[2]), 'tenant') ~= ARGV[1] then return false end
local columns = row(ARGV[2])
return {columns, position(columns)}
