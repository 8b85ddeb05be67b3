-- Read the log of changes.
-- KEYS[1] key prefix
-- ARGV[1] name of the log in the cursor, ARGV[2] and ARGV[3] id of an entry, ARGV[4] number of its changes that were read
-- before, ARGV[5] tenant or '' for all, ARGV[6] limit of changes, ARGV[7] limit of entries
-- Returns the name of the log, whether nothing is missing behind the cursor, whether there are more changes, the parts of the
-- cursor behind which to continue, and for each change the parts of its cursor and the change (`record`).
-- include: keys

local function parts(id)
    local milliseconds, number = string.match(id, '^(%d+)-(%d+)$')
    return tonumber(milliseconds), tonumber(number)
end

local function is_before(one, other)
    local milliseconds, number = parts(one)
    local of_other, number_of_other = parts(other)
    return milliseconds < of_other or milliseconds == of_other and number < number_of_other
end

local name = string.sub(redis.call('GET', prefix .. 'queue'), 1, 8)
local newest, after = redis.call('XREVRANGE', TRANSITIONS, '+', '-', 'COUNT', 1)[1], ARGV[2] .. '-' .. ARGV[3]
local last, place = newest and newest[1] or '0-0', newest and #cmsgpack.unpack(newest[2][2]) or 0
local known = ARGV[1] == name and not is_before(after, redis.call('GET', TRANSITIONS_PRUNED) or '0-0')
    and not is_before(last, after)
local begin, seen = known and after or '-', known and tonumber(ARGV[4]) or 0
local entries = redis.call('XRANGE', TRANSITIONS, begin, '+', 'COUNT', ARGV[7])
local found, limit = {}, tonumber(ARGV[6])
for _, entry in ipairs(entries) do
    local entry_changes = cmsgpack.unpack(entry[2][2])
    for i, change in ipairs(entry_changes) do
        if (entry[1] ~= begin or i > seen) and change[3] ~= 'usage' and (ARGV[5] == '' or change[2] == '' or change[2] == ARGV[5]) then
            found[#found + 1] = {entry[1], i, change}
            if #found == limit then return {name, known and 1 or 0, 1, {entry[1], i}, found} end
        end
    end
end
local is_part = #entries == tonumber(ARGV[7])
if is_part then last, place = entries[#entries][1], #cmsgpack.unpack(entries[#entries][2][2]) end
return {name, known and 1 or 0, is_part and 1 or 0, {last, place}, found}
