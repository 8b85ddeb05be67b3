-- List messages of a tenant that match all filters, the newest first.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] number below which to begin or '', ARGV[3] limit, ARGV[4] bytes of texts after which to
-- end, ARGV[5] maximum of messages to compare, ARGV[6] wanted metadata (`app.store.metadata`) or '', ARGV[7] states with a
-- space around each or '', ARGV[8] thread, ARGV[9] agent, ARGV[10] priority, ARGV[11] error code, ARGV[12] fingerprint, each
-- with = before it, or '', ARGV[13] and ARGV[14] what the caller may see (`visible.lua`)
-- Returns the rows with their positions, the bytes of their texts, and the number below which to continue, false at the
-- end.
-- include: keys
-- include: rows
-- include: visible

local tenant, limit, most = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local left = tonumber(ARGV[5])
local wanted = ARGV[6] ~= '' and cjson.decode(ARGV[6])

local function contains_one(text, forms)
    for _, form in ipairs(forms) do
        if string.find(text, form, 1, true) then return true end
    end
    return false
end

local function has_wanted(metadata)
    if not metadata then return false end
    local text = ',' .. string.sub(metadata, 2, -2) .. ','
    for _, forms in ipairs(wanted) do
        if not contains_one(text, forms) then return false end
    end
    return true
end

local shows = visibility(ARGV[13], ARGV[14])

local function fits(id)
    local f = redis.call('HMGET', message_key(id), 'state', 'thread_id', 'agent', 'priority', 'error_code', 'fingerprint',
        wanted and 'metadata' or '', 'subject')
    if not shows(f[8], f[2], f[3]) then return false end
    if ARGV[7] ~= '' and not string.find(ARGV[7], ' ' .. f[1] .. ' ', 1, true) then return false end
    for i = 2, 6 do
        if ARGV[i + 6] ~= '' and (not f[i] or '=' .. f[i] ~= ARGV[i + 6]) then return false end
    end
    return not wanted or has_wanted(f[7])
end

local function number_of(id) return redis.call('HGET', message_key(id), 'number') end

-- Messages of a thread are also in the order of their numbers, so a binary search finds the messages below a number.
local function place_before(key, number)
    local low, high = 0, redis.call('ZCARD', key)
    while low < high do
        local middle = math.floor((low + high) / 2)
        if tonumber(number_of(redis.call('ZREVRANGE', key, middle, middle)[1])) < number then
            high = middle
        else
            low = middle + 1
        end
    end
    return low
end

local of_thread = ARGV[8] ~= '' and thread_messages_key(tenant, ARGV[8]:sub(2))

local function source()
    if ARGV[7] == ' failed ' or ARGV[11] ~= '' or ARGV[12] ~= '' then return of_tenant('failed', tenant) end
    if ARGV[7] == ' interrupted ' then return of_tenant('interrupted', tenant) end
    if of_thread then return of_thread end
    return of_tenant('messages', tenant)
end

local key = source()
local start = 0
if ARGV[2] ~= '' then
    start = key == of_thread and place_before(key, tonumber(ARGV[2]))
        or redis.call('ZCOUNT', key, ARGV[2], '+inf')
end
local rows, length, last = {}, 0, nil
while left > 0 do
    local ids = redis.call('ZREVRANGE', key, start, start + math.min(64, left) - 1)
    if #ids == 0 then return {rows, length, false} end
    for _, id in ipairs(ids) do
        if #rows == limit or length >= most then return {rows, length, last} end
        if fits(id) then
            local columns = listed_row(id)
            rows[#rows + 1] = {columns, position(columns)}
            length = length + row_length(columns)
        end
        last = number_of(id)
    end
    start, left = start + #ids, left - #ids
end
return {rows, length, last}
