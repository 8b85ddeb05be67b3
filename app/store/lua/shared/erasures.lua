local ERASURES = prefix .. 'erasures' -- sorted set of ids by start
local ERASING = prefix .. 'erasing' -- a hash with the ids of running erasures by target

local function erasure_key(id) return prefix .. 'erasure:' .. id end
-- A hash with the number of removed objects by kind.
local function erasure_counts_key(id) return prefix .. 'erasure_counts:' .. id end
-- A set with the ids of erased threads and messages, until no record names them.
local function erased_names_key(id) return prefix .. 'erased_names:' .. id end

local function erased_target(kind, tenant, name) return kind .. ':' .. scope(tenant, name) end

-- Return the kind of the running erasure that covers a message with these fields, nil if none does.
local function erasing_kind(tenant, subject, thread)
    if redis.call('HEXISTS', ERASING, erased_target('tenant', tenant, '')) == 1 then return 'tenant' end
    if subject and redis.call('HEXISTS', ERASING, erased_target('subject', tenant, subject)) == 1 then return 'subject' end
    if thread and redis.call('HEXISTS', ERASING, erased_target('thread', tenant, thread)) == 1 then return 'thread' end
end

-- Return the fields of `app.store.erasures.to_erasure`, nil if there is no such erasure of the tenant; '' is any tenant.
local function erasure_row(tenant, id)
    local row = redis.call('HMGET', erasure_key(id), 'tenant', 'tenant', 'kind', 'name', 'actor', 'started_at', 'ended_at')
    if not row[1] or tenant ~= '' and row[1] ~= tenant then return nil end
    local known, counts = redis.call('HGETALL', erasure_counts_key(id)), {}
    for i = 1, #known, 2 do counts[known[i]] = tonumber(known[i + 1]) end
    row[1], row[8] = id, cjson.encode(counts)
    return row
end

local function count_erased(id, kind, number)
    if number > 0 then redis.call('HINCRBY', erasure_counts_key(id), kind, number) end
end
