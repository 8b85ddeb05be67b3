-- Replace names of erased objects in a stream. Entries of a stream cannot be changed: they are copied part by part, with the
-- same ids, and the copy takes the place of the stream in the step that copies the last entry. Entries that came after the
-- first step have no erased names: they are copied as they are, and more in one step, so that the copy overtakes every writer.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] `audit` or `transitions`, ARGV[2] tenant, ARGV[3] id of the erasure, ARGV[4] 1 if all of the tenant is erased,
-- ARGV[5] the target as an actor or '', ARGV[6] number of entries to copy
-- Returns 1 when the stream is replaced, 0 if entries are left, -1 while another erasure copies this stream.
-- include: keys
-- include: entries
-- include: erasures
-- include: once

local LATER_FACTOR, MOST_BYTES = 10, 131072

local function run(ARGV)
    if recalled then return recalled end
    local tenant, erasure, all, actor = ARGV[2], ARGV[3], ARGV[4] == '1', ARGV[5]
    local log = ARGV[1] == 'audit' and AUDIT or TRANSITIONS
    local copy, owner = prefix .. 'erased_log:' .. ARGV[1], prefix .. 'erased_log_owner:' .. ARGV[1]
    local until_key = prefix .. 'erased_log_until:' .. ARGV[1]
    local erased_names, changed_entries = erased_names_key(erasure), 0

    local function is_erased(value) return redis.call('SISMEMBER', erased_names, value) == 1 end

    local function names_erased(value)
        if type(value) == 'string' then return is_erased(value) end
        if type(value) ~= 'table' then return false end
        for _, part in pairs(value) do
            if names_erased(part) then return true end
        end
        return false
    end

    -- Return a record without names. `cjson` makes an object of an empty list, so the list is put back.
    local function without_names(text)
        local record = cjson.decode(text)
        if record.tenant ~= tenant then return text end
        local by_erased = record.actor == actor or all and string.sub(record.actor, 1, 8) == 'subject:'
        if by_erased then record.actor = 'subject:erased' end
        if by_erased or all and record.action ~= 'data.erase' then record.address = nil end
        if record.action == 'data.erase' then
            if not by_erased then return text end
        else
            local everywhere = all or names_erased(record.details)
            local named = everywhere
            for i, target in ipairs(record.targets) do
                if everywhere or is_erased(target) then record.targets[i], named = 'erased', true end
            end
            if not named and not by_erased then return text end
            record.details = {}
        end
        changed_entries = changed_entries + 1
        return (string.gsub(cjson.encode(record), '"targets":{}', '"targets":[]'))
    end

    local function without_threads(packed)
        local entry_changes, any = cmsgpack.unpack(packed), false
        for _, change in ipairs(entry_changes) do
            if change[2] == tenant and change[12] ~= '' and change[12] ~= 'erased' and (all or is_erased(change[12])) then
                change[12], any, changed_entries = 'erased', true, changed_entries + 1
            end
        end
        return any and cmsgpack.pack(entry_changes) or packed
    end

    local working = redis.call('GET', owner)
    if working and working ~= erasure then
        if redis.call('HEXISTS', erasure_key(working), 'ended_at') == 0
            and redis.call('EXISTS', erasure_key(working)) == 1 then
            return -1
        end
        redis.call('UNLINK', copy)
    end
    if working ~= erasure then
        local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
        redis.call('SET', until_key, newest and newest[1] or '0-0')
        redis.call('SET', owner, erasure)
    end
    local last = redis.call('XREVRANGE', copy, '+', '-', 'COUNT', 1)[1]
    local first = last and '(' .. last[1] or '-'
    local limit = tonumber(ARGV[6])
    local entries, more = read_entries(log, first, redis.call('GET', until_key), limit, MOST_BYTES)
    local cleaned = ARGV[1] == 'audit' and without_names or without_threads
    for _, entry in ipairs(entries) do redis.call('XADD', copy, entry[1], entry[2][1], cleaned(entry[2][2])) end
    count_erased(erasure, ARGV[1] == 'audit' and 'records' or 'changes', changed_entries)
    if more then return remember(0) end
    if #entries > 0 then first = '(' .. entries[#entries][1] end
    local later, later_more = read_entries(log, first, '+', LATER_FACTOR * limit, LATER_FACTOR * MOST_BYTES)
    for _, entry in ipairs(later) do redis.call('XADD', copy, entry[1], entry[2][1], entry[2][2]) end
    if later_more then return remember(0) end
    local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
    if oldest then
        redis.call('XTRIM', copy, 'MINID', oldest[1])
        redis.call('RENAME', copy, log)
    end
    redis.call('UNLINK', owner, until_key)
    return remember(1)
end

return each(run)
