-- Reserve an id for a thread whose memory is being copied.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] thread
-- Returns 1, false if the id is in use.
-- include: keys
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local name = scope(ARGV[2], ARGV[3])
    if redis.call('EXISTS', thread_key(ARGV[2], ARGV[3])) == 1 or redis.call('HEXISTS', HIDDEN, name) == 1 then return false end
    redis.call('HSET', HIDDEN, name, 'draft')
    redis.call('ZADD', DRAFTS, ARGV[1], name)
    return remember(1)
end

return each(run)
