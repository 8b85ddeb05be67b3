-- Delete the record of a tenant.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant
-- Returns whether there was one.
-- include: keys
-- include: queue
-- include: time
-- include: access
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    if redis.call('DEL', of_tenant('settings', ARGV[2])) == 0 then return 0 end
    redis.call('ZREM', TENANTS, ARGV[2])
    raise_revision(ARGV[1])
    return remember(1)
end

return each(run)
