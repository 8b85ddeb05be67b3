-- List deliveries of a tenant without their data, the newest first.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] limit, ARGV[3] and ARGV[4] cursor: creation time and id of the last delivery seen, or '', ARGV[5] id
-- of their message, with = before it, or '', ARGV[6] states and ARGV[7] events with a space around each
-- Returns their rows.
-- include: keys
-- include: deliveries
-- include: order

local tenant, limit = ARGV[1], tonumber(ARGV[2])

-- Compare pairs of creation time and id.
local function is_newer(a, b) return a[1] > b[1] or (a[1] == b[1] and precedes(b[2], a[2])) end

local cursor = ARGV[3] ~= '' and {tonumber(ARGV[3]), ARGV[4]}
local found = {}

local function consider(created_at, id)
    local place = {tonumber(created_at), id}
    if not cursor or is_newer(cursor, place) then found[#found + 1] = place end
end

-- Return how many deliveries of a sorted set are not behind the cursor. Equal creation times are in the order of the ids,
-- so a binary search finds the cursor among them.
local function count_before(key)
    if not cursor then return 0 end
    local low = redis.call('ZCOUNT', key, '(' .. ARGV[3], '+inf')
    local high = low + redis.call('ZCOUNT', key, ARGV[3], ARGV[3])
    while low < high do
        local middle = math.floor((low + high) / 2)
        if precedes(redis.call('ZREVRANGE', key, middle, middle)[1], ARGV[4]) then
            high = middle
        else
            low = middle + 1
        end
    end
    return low
end

if ARGV[5] ~= '' then
    for _, id in ipairs(redis.call('LRANGE', deliveries_key(ARGV[5]:sub(2)), 0, -1)) do
        local f = redis.call('HMGET', delivery_key(id), 'tenant', 'state', 'event', 'created_at')
        if f[1] == tenant and string.find(ARGV[6], ' ' .. f[2] .. ' ', 1, true)
            and string.find(ARGV[7], ' ' .. f[3] .. ' ', 1, true) then
            consider(f[4], id)
        end
    end
else
    for state in ARGV[6]:gmatch('%S+') do
        for event in ARGV[7]:gmatch('%S+') do
            local key = deliveries_of_kind(tenant, state, event)
            local start = count_before(key)
            local newest = redis.call('ZREVRANGE', key, start, start + limit - 1, 'WITHSCORES')
            for i = 1, #newest, 2 do consider(newest[i + 1], newest[i]) end
        end
    end
end
table.sort(found, is_newer)
local rows = {}
for i = 1, math.min(limit, #found) do rows[i] = delivery_record(found[i][2]) end
return rows
