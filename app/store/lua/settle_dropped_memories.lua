-- Take memories off the list. The ids of deleted threads are free again.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV: tenant, thread or '', and id or '' of each
-- Returns 1.
-- include: keys
-- include: once

local function run(ARGV)
    for i = 1, #ARGV, 3 do
        local alone = ARGV[i + 1] == ''
        local member = alone and memory_of_message(ARGV[i], ARGV[i + 2]) or memory_of_thread(ARGV[i], ARGV[i + 1])
        redis.call('ZREM', DROPPED_MEMORIES, member)
        local name = scope(ARGV[i], ARGV[i + 1])
        if not alone and redis.call('HGET', HIDDEN, name) == 'deleted' then redis.call('HDEL', HIDDEN, name) end
    end
    return 1
end

return each(run)
