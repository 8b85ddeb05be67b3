-- Delete expired items of all tenants.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] limit
-- Returns the count.
-- include: keys
-- include: time
-- include: items
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local names = redis.call('ZRANGEBYSCORE', ITEM_EXPIRY, '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
    for _, name in ipairs(names) do
        delete_item(scoped(name))
    end
    return #names == 0 and 0 or remember(#names)
end

return each(run)
