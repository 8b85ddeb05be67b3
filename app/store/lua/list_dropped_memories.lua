-- List memories that nothing needs any more. Those that are needed again leave the list until they are dropped again. Old
-- drafts of threads are abandoned first.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] limit, ARGV[2] time, ARGV[3] age of old drafts in milliseconds
-- Returns tenant, thread or '', and id or '' of each.
-- include: keys
-- include: messages
-- include: drafts
-- include: once

local function is_needed(kind, tenant, name)
    if kind == 'thread' then return redis.call('EXISTS', thread_key(tenant, name)) == 1 end
    local message = load(name)
    if not message then return false end
    return not redis.call('ZSCORE', ENDED, message.member)
        or redis.call('ZSCORE', of_tenant('logged', message.tenant), message.member)
end

local function run(ARGV)
    local found = {}
    local before = '(' .. string.format('%.0f', ARGV[2] - ARGV[3])
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', DRAFTS, '-inf', before)) do abandon(name) end
    repeat
        local members = redis.call('ZRANGE', DROPPED_MEMORIES, 0, ARGV[1] - 1)
        for _, member in ipairs(members) do
            local kind, length, rest = member:match('^(%l+):(%d+):(.*)$')
            local tenant, name = rest:sub(1, length), rest:sub(length + 2)
            if is_needed(kind, tenant, name) then
                redis.call('ZREM', DROPPED_MEMORIES, member)
            elseif kind == 'thread' then
                found[#found + 1] = {tenant, name, ''}
            else
                found[#found + 1] = {tenant, '', name}
            end
        end
    until #found > 0 or #members == 0
    return found
end

return each(run)
