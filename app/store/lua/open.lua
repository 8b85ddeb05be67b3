-- Makes the queue, or says which one is there. A queue of version 1 is brought up to date, one part of it each time.
-- KEYS[1] prefix of all keys, from which the script derives their names
-- ARGV[1] schema version of this program, ARGV[2] an id for a new queue, ARGV[3] how many messages a part has
-- Returns the schema version, or false where keys under the prefix are not ours.
-- include: keys
-- include: messages
-- include: endings

local SCHEMA, UPGRADE = prefix .. 'schema', prefix .. 'upgrade'

-- What version 2 has besides: messages by number, the head that a thread is closed by, dead letters by kind, and the time
-- of delayed ones with the message.
local function bring_up_to_date(members)
    for i = 1, #members, 2 do
        local member = members[i]
        local id = id_of(member)
        local message = load(id)
        redis.call('ZADD', of_tenant('messages', message.tenant), message.number, id)
        if message.readiness == 'delayed' then
            redis.call('HSET', message_key(id), 'run_at', members[i + 1])
        elseif message.state == 'processing' and message.thread then
            redis.call('HSET', thread_key(message.tenant, message.thread), 'head', id)
        elseif message.state == 'failed' then
            local kind = redis.call('HGET', message_key(id), 'error_code')
            redis.call('HSET', message_key(id), 'fingerprint', kind)
            bury(message.tenant, id, message.number, kind, tonumber(members[i + 1]))
        end
    end
end

local function upgrade()
    local sets = {WAITING, DELAYED, LEASES, ENDED}
    local f = redis.call('HMGET', UPGRADE, 'set', 'place')
    local set, place = tonumber(f[1] or 1), tonumber(f[2] or 0)
    local members = redis.call('ZRANGE', sets[set], place, place + tonumber(ARGV[3]) - 1, 'WITHSCORES')
    bring_up_to_date(members)
    if #members > 0 then
        redis.call('HSET', UPGRADE, 'set', set, 'place', place + #members / 2)
    elseif set < #sets then
        redis.call('HSET', UPGRADE, 'set', set + 1, 'place', 0)
    else
        redis.call('DEL', UPGRADE)
        redis.call('SET', SCHEMA, '2')
    end
end

local kind = redis.call('TYPE', SCHEMA).ok
if kind == 'string' then
    if redis.call('GET', SCHEMA) == '1' then upgrade() end
    return redis.call('GET', SCHEMA)
end
if kind ~= 'none' or redis.call('EXISTS', WAITING, DELAYED, LEASES, ENDED, LOGGED, EMPTY, WORKERS, INTERRUPTED, DUE,
    prefix .. 'number', prefix .. 'queue') > 0 then
    return false
end
redis.call('SET', prefix .. 'queue', ARGV[2])
redis.call('SET', SCHEMA, ARGV[1])
return ARGV[1]
