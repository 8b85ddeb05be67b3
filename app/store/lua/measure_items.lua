-- Measure items of a tenant.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] lower bound of the members, as ZRANGEBYLEX takes it, ARGV[3] limit
-- Returns the number of items, the bytes of their values, and the lower bound of the next part, false at the end.
-- include: keys

local limit, bytes = tonumber(ARGV[3]), 0
local members = redis.call('ZRANGEBYLEX', of_tenant('items', ARGV[1]), ARGV[2], '+', 'LIMIT', 0, limit)
for _, member in ipairs(members) do bytes = bytes + redis.call('HSTRLEN', item_key(item_name(ARGV[1], member)), 'value') end
return {#members, bytes, #members == limit and '(' .. members[limit]}
