-- Read usage by hour.
-- KEYS[1] key prefix
-- ARGV[1] tenant or '' for all, ARGV[2] first hour, ARGV[3] the hour before which to stop, ARGV[4] how many hours of tenants to
-- skip, ARGV[5] number of rows after which no further hour is read
-- Returns how many hours of tenants to skip next, false at the end, and {hour, tenant, field, counts} of each row. A field is
-- a JSON array of key, subject, agent and model.
-- include: keys

local tenant, skipped, rows = ARGV[1], tonumber(ARGV[4]), {}
local hours = tenant == '' and USAGE_HOURS or of_tenant('usage_hours', tenant)
while #rows < tonumber(ARGV[5]) do
    local members = redis.call('ZRANGEBYSCORE', hours, ARGV[2], '(' .. ARGV[3], 'LIMIT', skipped, 1)
    if #members == 0 then return {false, rows} end
    local owner, hour = tenant, members[1]
    if tenant == '' then owner, hour = scoped(members[1]) end
    local found = redis.call('HGETALL', hourly_usage_key(owner, hour))
    for i = 1, #found, 2 do rows[#rows + 1] = {tonumber(hour), owner, found[i], found[i + 1]} end
    skipped = skipped + 1
end
return {skipped, rows}
