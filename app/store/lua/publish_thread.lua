-- Make a draft a thread without messages.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] thread, ARGV[4] its source as JSON, ARGV[5] its name or '', ARGV[6] its metadata or '',
-- ARGV[7] its subject or ''
-- Returns its row, false without such a draft.
-- include: keys
-- include: threads
-- include: once

local function run(ARGV)
    local tenant, thread = ARGV[2], ARGV[3]
    if recalled then return thread_row(tenant, thread) or false end
    local name = scope(tenant, thread)
    if redis.call('HGET', HIDDEN, name) ~= 'draft' then return false end
    redis.call('HDEL', HIDDEN, name)
    redis.call('ZREM', DRAFTS, name)
    local key = thread_key(tenant, thread)
    redis.call('HSET', key, 'last_number', 0, 'created_at', ARGV[1], 'last_message_preview', '', 'forked_from', ARGV[4])
    if ARGV[5] ~= '' then redis.call('HSET', key, 'name', ARGV[5]) end
    if ARGV[7] ~= '' then redis.call('HSET', key, 'subject', ARGV[7]) end
    if ARGV[6] ~= '' then redis.call('HSET', key, 'metadata', ARGV[6]) end
    redis.call('ZADD', of_tenant('threads', tenant), ARGV[1], thread)
    redis.call('ZADD', EMPTY, ARGV[1], name)
    remember(1)
    return thread_row(tenant, thread)
end

return each(run)
