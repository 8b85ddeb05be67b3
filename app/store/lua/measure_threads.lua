-- Measure threads of a tenant in the order of their creation, also those without messages.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] and ARGV[3] creation and id of the thread at which to continue, or '', ARGV[4] and ARGV[5] thread
-- number and events at which to continue in it (`storage.lua`), '+inf' and 0 if it is measured, ARGV[6] how much to read, roughly
-- in events
-- Returns thread and sizes of each, and what takes the place of ARGV[2] to ARGV[5] next, false at the end.
-- include: keys
-- include: order
-- include: storage

local tenant, left = ARGV[1], tonumber(ARGV[6])
local threads, found = of_tenant('threads_created', tenant), {}

-- Return the index of the first thread behind a time and an id.
local function place_behind(time, id)
    local low = redis.call('ZCOUNT', threads, '-inf', '(' .. time)
    local high = low + redis.call('ZCOUNT', threads, time, time)
    while low < high do
        local middle = math.floor((low + high) / 2)
        if precedes(id, redis.call('ZRANGE', threads, middle, middle)[1]) then high = middle else low = middle + 1 end
    end
    return low
end

local function all() return true end

local function measure(thread, number, skipped)
    local sizes = {0, 0, 0, 0}
    left, number, skipped = add_messages(thread_messages_key(tenant, thread), number, skipped, sizes, left, all)
    found[#found + 1] = {thread, sizes}
    return number, skipped
end

local time, thread = ARGV[2], ARGV[3]
if ARGV[4] ~= '+inf' and thread ~= '' then
    local number, skipped = measure(thread, ARGV[4], tonumber(ARGV[5]))
    if number then return {found, {time, thread, number, skipped}} end
end
local at = thread == '' and 0 or place_behind(time, thread)
while true do
    local part = redis.call('ZRANGE', threads, at, at + PARTS - 1, 'WITHSCORES')
    if #part == 0 then return {found, false} end
    for i = 1, #part, 2 do
        if left <= 0 then return {found, {time, thread, '+inf', 0}} end
        thread, time, at, left = part[i], part[i + 1], at + 1, left - 1
        local number, skipped = measure(thread, 0, 0)
        if number then return {found, {time, thread, number, skipped}} end
    end
end
