-- Change a thread.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] tenant, ARGV[2] thread, ARGV[3] 1 if it gets a name, ARGV[4] the name or '' for none, ARGV[5] a patch of its metadata
-- as JSON or '', ARGV[6] maximum length of the metadata, ARGV[7] 1 if it gets a TTL, ARGV[8] the TTL in milliseconds or '' for none
-- Returns its row, 'large' if the metadata would be too long, false without such a thread.
-- include: keys
-- include: threads
-- include: once

local function run(ARGV)
    local key = thread_key(ARGV[1], ARGV[2])
    local f = redis.call('HMGET', key, 'last_number', 'metadata')
    if not f[1] then return false end
    if recalled then return thread_row(ARGV[1], ARGV[2]) end
    if ARGV[5] ~= '' then
        local merged = f[2] and cjson.decode(f[2]) or {}
        for name, text in pairs(cjson.decode(ARGV[5])) do merged[name] = text ~= cjson.null and text or nil end
        local text = cjson.encode(merged)
        if #text > tonumber(ARGV[6]) then return 'large' end
        redis.call('HSET', key, 'metadata', text)
    end
    if ARGV[3] == '1' and ARGV[4] == '' then redis.call('HDEL', key, 'name') end
    if ARGV[3] == '1' and ARGV[4] ~= '' then redis.call('HSET', key, 'name', ARGV[4]) end
    if ARGV[7] == '1' then
        set_ttl(ARGV[1], ARGV[2], ARGV[8], redis.call('ZSCORE', of_tenant('threads', ARGV[1]), ARGV[2]))
    end
    remember(1)
    return thread_row(ARGV[1], ARGV[2])
end

return each(run)
