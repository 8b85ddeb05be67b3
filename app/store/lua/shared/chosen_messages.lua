-- Walk along the messages of a tenant that match all filters, the newest first. The including script has these arguments:
-- ARGV[1] tenant, ARGV[2] number below which to begin or '', ARGV[5] maximum of messages to compare, ARGV[6] wanted metadata
-- (`app.store.metadata`) or '', ARGV[7] states with a space around each or '', ARGV[8] thread, ARGV[9] agent, ARGV[10] priority,
-- ARGV[11] error code, ARGV[12] fingerprint, each with = before it, or '', ARGV[13] and ARGV[14] what the caller may see
-- (`visible.lua`), ARGV[15] a text that messages must have in any case or '' (`app.policy.text_search`), ARGV[16] characters that
-- become ASCII when their case is folded

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

-- Return whether a text has one of the characters in ARGV[16].
local function has_folding(text)
    if not string.find(text, '[\128-\255]') then return false end
    for character in string.gmatch(ARGV[16], '[\194-\244][\128-\191]*') do
        if string.find(text, character, 1, true) then return true end
    end
    return false
end

-- Return whether a message may have the text in ARGV[15]. Metadata are JSON in ASCII: an escape may stand for any character.
local function has_hint(id, metadata)
    local text = redis.call('GETRANGE', content_key(id), 0, 3999) -- 1,000 characters or more
    if string.find(string.lower(text), ARGV[15], 1, true) or has_folding(text) then return true end
    metadata = metadata or redis.call('HGET', message_key(id), 'metadata')
    if not metadata then return false end
    return string.find(string.lower(metadata), ARGV[15], 1, true) ~= nil or string.find(metadata, '\\u', 1, true) ~= nil
end

local shows = visibility(ARGV[13], ARGV[14])

-- Whether a hint alone decides: nothing else is asked for, and the caller may see everything.
local only_hint = ARGV[15] ~= ''
for i = 6, 14 do only_hint = only_hint and ARGV[i] == '' end

local function fits(id)
    if only_hint then return has_hint(id) end
    local f = redis.call('HMGET', message_key(id), 'state', 'thread_id', 'agent', 'priority', 'error_code', 'fingerprint',
        wanted and 'metadata' or '', 'subject')
    if not shows(f[8], f[2], f[3]) then return false end
    if ARGV[7] ~= '' and not string.find(ARGV[7], ' ' .. f[1] .. ' ', 1, true) then return false end
    for i = 2, 6 do
        if ARGV[i + 6] ~= '' and (not f[i] or '=' .. f[i] ~= ARGV[i + 6]) then return false end
    end
    if wanted and not has_wanted(f[7]) then return false end
    return ARGV[15] == '' or has_hint(id, f[7])
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

local of_thread = ARGV[8] ~= '' and thread_messages_key(ARGV[1], ARGV[8]:sub(2))

local function source()
    if ARGV[7] == ' failed ' or ARGV[11] ~= '' or ARGV[12] ~= '' then return of_tenant('failed', ARGV[1]) end
    if ARGV[7] == ' interrupted ' then return of_tenant('interrupted', ARGV[1]) end
    if of_thread then return of_thread end
    return of_tenant('messages', ARGV[1])
end

local key = source()
local start = 0
if ARGV[2] ~= '' then
    start = key == of_thread and place_before(key, tonumber(ARGV[2]))
        or redis.call('ZCOUNT', key, ARGV[2], '+inf')
end

-- Call `take` with the id of each message that matches, until `is_full` says that no more is wanted. Return the number below
-- which to continue, false at the end.
local function walk(is_full, take)
    local left, at, last = tonumber(ARGV[5]), start, nil
    while left > 0 do
        local ids = redis.call('ZREVRANGE', key, at, at + math.min(64, left) - 1)
        if #ids == 0 then return false end
        for _, id in ipairs(ids) do
            if is_full() then return last and number_of(last) end
            if fits(id) then take(id) end
            last = id
        end
        at, left = at + #ids, left - #ids
    end
    return last and number_of(last)
end
