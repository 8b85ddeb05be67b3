-- Remember versions of agents that were seen now, and forget those that were not seen for long.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time before which they are forgotten, ARGV[2...] agent, version, when it was first and last seen, of each
-- Returns 1.
-- include: keys
-- include: queue
-- include: once

local function run(ARGV)
    for i = 2, #ARGV, 4 do
        local name = version_name(ARGV[i], ARGV[i + 1])
        redis.call('ZADD', versions_key('first'), 'LT', ARGV[i + 2], name)
        redis.call('ZADD', versions_key('last'), 'GT', ARGV[i + 3], name)
    end
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', versions_key('last'), '-inf', '(' .. ARGV[1])) do
        redis.call('ZREM', versions_key('last'), name)
        redis.call('ZREM', versions_key('first'), name)
    end
    for _, name in ipairs(redis.call('SMEMBERS', versions_key('ready'))) do
        local ready = ready_key(unpack(cjson.decode(name)))
        if redis.call('EXISTS', ready) == 0 then redis.call('SREM', versions_key('ready'), name) end
    end
    return 1
end

return each(run)
