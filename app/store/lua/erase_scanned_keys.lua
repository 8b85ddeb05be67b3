-- Look at one part of all keys of the database. Delete those that no set lists: request keys, figures, and ends of tokens.
-- Replace erased names in the sources of forks, which may name a message of a thread before their own source.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] tenant, ARGV[2] id of the erasure, ARGV[3] 1 if all of the tenant is erased, ARGV[4] how request keys of the subject
-- begin, ARGV[5] cursor of SCAN, ARGV[6] number of keys to look at
-- Returns the next cursor, '0' at the end.
-- include: keys
-- include: tokens
-- include: erasures
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local tenant, erasure, all, own = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4]
    local requests, ends, figures = request_key(tenant, ''), end_key(tenant, ''), prefix .. 'figures:'
    local threads = thread_key(tenant, '')

    local function names_erased(value)
        if type(value) ~= 'table' then
            return type(value) == 'string' and redis.call('SISMEMBER', erased_names_key(erasure), value) == 1
        end
        for _, part in pairs(value) do
            if names_erased(part) then return true end
        end
        return false
    end

    local function erase_request(key)
        if not all and (own == '' or string.sub(key, #requests + 1, #requests + #own) ~= own) then
            local answer = redis.call('HGET', key, 'answer')
            if not answer or not names_erased(cmsgpack.unpack(answer)) then return end
        end
        redis.call('UNLINK', key)
        count_erased(erasure, 'request_keys', 1)
    end

    local function forget_source(key)
        local source = redis.call('HGET', key, 'forked_from')
        if not source then return end
        local fields, names = cjson.decode(source), false
        for _, name in ipairs({'thread_id', 'message_id'}) do
            if names_erased(fields[name]) then fields[name], names = 'erased', true end
        end
        if not names then return end
        redis.call('HSET', key, 'forked_from', cjson.encode(fields))
        count_erased(erasure, 'forks', 1)
    end

    local found = redis.call('SCAN', ARGV[5], 'COUNT', ARGV[6])
    for _, key in ipairs(found[2]) do
        if string.sub(key, 1, #requests) == requests then
            erase_request(key)
        elseif string.sub(key, 1, #threads) == threads then
            forget_source(key)
        elseif all and string.sub(key, 1, #figures) == figures then
            local step, of = string.match(string.sub(key, #figures + 1), '^(%d+):[^:]+:%d+:(.*)$')
            if of == tenant then
                redis.call('UNLINK', key)
                redis.call('ZREM', figures_of(step), key)
                count_erased(erasure, 'figures', 1)
            end
        elseif all and #key > #ends and string.sub(key, 1, #ends) == ends then
            redis.call('UNLINK', key)
            count_erased(erasure, 'token_ends', 1)
        end
    end
    return remember(found[1])
end

return each(run)
