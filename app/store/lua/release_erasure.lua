-- Let any process claim an erasure again.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] id
-- Returns 1.
-- include: keys
-- include: erasures
-- include: once

local function run(ARGV)
    if redis.call('EXISTS', erasure_key(ARGV[1])) == 1 then redis.call('HSET', erasure_key(ARGV[1]), 'busy_until', 0) end
    return 1
end

return each(run)
