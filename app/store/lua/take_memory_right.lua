-- Return the right to change what agents remember of a thread.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] thread
-- Returns number and fence of its first unfinished message, and the ids that this message rolls back as JSON or ''. Without
-- one, returns a number above those of earlier messages. Returns 'running' if a message is processing, false without such
-- a thread.
-- include: keys
-- include: time
-- include: messages
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local _, microseconds = clock(ARGV[1])
    local f = redis.call('HMGET', thread_key(ARGV[2], ARGV[3]), 'last_number', 'processing', 'interrupted', 'head')
    if not f[1] then return false end
    if tonumber(f[2] or 0) > 0 then return 'running' end
    local id = tonumber(f[3] or 0) > 0 and f[4]
    if not id then
        local member = redis.call('ZRANGE', thread_queue_key(ARGV[2], ARGV[3]), 0, 0)[1]
        id = member and id_of(member)
    end
    if id then
        local head = redis.call('HMGET', message_key(id), 'number', 'fence', 'rollback')
        return remember({head[1], head[2] or '0', head[3] or ''})
    end
    local number = above(redis.call('GET', prefix .. 'number'), microseconds)
    redis.call('SET', prefix .. 'number', number)
    return remember({number, '0', ''})
end

return each(run)
