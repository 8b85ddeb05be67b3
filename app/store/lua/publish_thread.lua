-- Make a draft a thread without messages.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] thread, ARGV[4] its source as JSON or '', ARGV[5] its name or '', ARGV[6] its metadata or '',
-- ARGV[7] its subject or '', ARGV[8] its TTL in milliseconds or ''
-- Returns its row, false without such a draft, 'erasing' and the kind of an erasure of its subject or its source.
-- include: keys
-- include: threads
-- include: erasures
-- include: once

local function run(ARGV)
    local tenant, thread = ARGV[2], ARGV[3]
    if recalled then return thread_row(tenant, thread) or false end
    local source = ARGV[4] ~= '' and cjson.decode(ARGV[4]).thread_id
    local kind = erasing_kind(tenant, ARGV[7] ~= '' and ARGV[7], source)
    if kind then return {'erasing', kind} end
    local name = scope(tenant, thread)
    if redis.call('HGET', HIDDEN, name) ~= 'draft' then return false end
    redis.call('HDEL', HIDDEN, name)
    redis.call('ZREM', DRAFTS, name)
    make_thread(tenant, thread, ARGV[1], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8])
    remember(1)
    return thread_row(tenant, thread)
end

return each(run)
