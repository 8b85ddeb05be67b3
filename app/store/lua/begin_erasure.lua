-- Store an erasure, unless one with the same target is running.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] id, ARGV[3] tenant, ARGV[4] kind, ARGV[5] name, ARGV[6] actor, then the names of the target in records
-- Returns the fields of the stored or the running erasure.
-- include: keys
-- include: queue
-- include: time
-- include: erasures
-- include: once

local function run(ARGV)
    if recalled then return erasure_row('', recalled) end
    local target = erased_target(ARGV[4], ARGV[3], ARGV[5])
    local known = redis.call('HGET', ERASING, target)
    if known then
        unrecorded()
        return erasure_row('', known)
    end
    local id, now = ARGV[2], string.format('%.0f', time(ARGV[1]))
    redis.call('HSET', erasure_key(id), 'tenant', ARGV[3], 'kind', ARGV[4], 'name', ARGV[5], 'actor', ARGV[6],
        'started_at', now, 'busy_until', 0)
    redis.call('ZADD', ERASURES, now, id)
    redis.call('HSET', ERASING, target, id)
    for i = 7, #ARGV do redis.call('SADD', erased_names_key(id), ARGV[i]) end
    remember(id)
    return erasure_row('', id)
end

return each(run)
