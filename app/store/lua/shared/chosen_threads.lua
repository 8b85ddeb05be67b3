-- Walk along the threads of a tenant in parts. The including script has these arguments:
-- ARGV[1] tenant, ARGV[2] limit, ARGV[3] and ARGV[4] cursor: time and id of the last thread seen, or '', ARGV[5] maximum of
-- threads to compare, ARGV[6] the set by whose time to order, ARGV[7] 1 for the latest first, ARGV[8] and ARGV[9] what the caller
-- may see (`visible.lua`), ARGV[10] status or '', ARGV[11] ids as a JSON array or '', ARGV[12] wanted metadata
-- (`wanted_thread_metadata`) or ''

local ordered, latest = of_tenant(ARGV[6], ARGV[1]), ARGV[7] == '1'
local shows = visibility(ARGV[8], ARGV[9])
local wanted = ARGV[12] ~= '' and cjson.decode(ARGV[12])

local function members(first, last) return redis.call(latest and 'ZREVRANGE' or 'ZRANGE', ordered, first, last) end

-- Return the index of the first thread behind the cursor. The thread of the cursor may have moved. A binary search
-- finds its place among threads with the same time.
local function place_behind(time, name)
    local low = latest and redis.call('ZCOUNT', ordered, '(' .. time, '+inf') or redis.call('ZCOUNT', ordered, '-inf', '(' .. time)
    local high = low + redis.call('ZCOUNT', ordered, time, time)
    while low < high do
        local middle = math.floor((low + high) / 2)
        local other = members(middle, middle)[1]
        local is_behind
        if latest then is_behind = precedes(other, name) else is_behind = precedes(name, other) end
        if is_behind then high = middle else low = middle + 1 end
    end
    return low
end

local function has_wanted(metadata)
    local kept = metadata and cjson.decode(metadata) or {}
    for _, each in ipairs(wanted) do
        local found = false
        for _, form in ipairs(each[2]) do found = found or kept[each[1]] == form end
        if not found then return false end
    end
    return true
end

-- See `app.models.threads.ThreadStatus`.
local function status_of(key)
    local f = redis.call('HMGET', key, 'interrupted', 'queued', 'processing', 'failed', 'last_ended')
    if tonumber(f[1] or 0) > 0 then return 'interrupted' end
    if tonumber(f[2] or 0) + tonumber(f[3] or 0) > 0 then return 'busy' end
    return f[5] == 'failed' and tonumber(f[4] or 0) > 0 and 'error' or 'idle'
end

local function fits(name)
    local key = thread_key(ARGV[1], name)
    local f = redis.call('HMGET', key, 'subject', wanted and 'metadata' or 'subject')
    if not shows(f[1], name) then return false end
    if wanted and not has_wanted(f[2]) then return false end
    return ARGV[10] == '' or status_of(key) == ARGV[10]
end

-- Return the names of these ids that exist behind the cursor, in order, as (name, time) pairs.
local function named(ids)
    local found = {}
    for _, name in ipairs(ids) do
        local time = redis.call('ZSCORE', ordered, name)
        if time then found[#found + 1] = {name, tonumber(time)} end
    end
    local function before(one, other)
        if one[2] ~= other[2] then return (one[2] > other[2]) == latest end
        if one[1] == other[1] then return false end
        return precedes(one[1], other[1]) ~= latest
    end
    table.sort(found, before)
    local cursor, behind = ARGV[3] ~= '' and {ARGV[4], tonumber(ARGV[3])}, {}
    for _, each in ipairs(found) do
        if not cursor or before(cursor, each) then behind[#behind + 1] = each[1] end
    end
    return behind
end

-- Call `take` with each thread that matches until it has been called ARGV[2] times. Return the cursor behind which to continue,
-- or nothing at the end.
local function walk(take)
    local limit, taken = tonumber(ARGV[2]), 0
    if ARGV[11] ~= '' then
        for _, name in ipairs(named(cjson.decode(ARGV[11]))) do
            if taken < limit and fits(name) then
                taken = taken + 1
                take(name)
            end
        end
        return
    end
    local start, left = ARGV[3] == '' and 0 or place_behind(ARGV[3], ARGV[4]), tonumber(ARGV[5])
    while left > 0 do
        local count = math.min(64, left, limit - taken)
        local names = members(start, start + count - 1)
        for _, name in ipairs(names) do
            if fits(name) then
                taken = taken + 1
                take(name)
            end
        end
        if #names < count or taken == limit then return end
        start, left = start + count, left - count
        if left == 0 then return redis.call('ZSCORE', ordered, names[count]), names[count] end
    end
end
