-- List threads of a tenant, newest activity first.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] limit, ARGV[3] and ARGV[4] cursor: last activity and id of the last thread seen, or '', ARGV[5]
-- maximum of threads to compare, ARGV[6] and ARGV[7] what the caller may see (`visible.lua`)
-- Returns their rows, and the last activity and the id of the thread behind which to continue, without these at the end.
-- include: keys
-- include: threads
-- include: order
-- include: visible

local threads = of_tenant('threads', ARGV[1])

-- Return the index of the first thread behind the cursor. The thread of the cursor may have moved. A binary search
-- finds its place among threads with the same last activity.
local function place_behind(activity, name)
    local low = redis.call('ZCOUNT', threads, '(' .. activity, '+inf')
    local high = low + redis.call('ZCOUNT', threads, activity, activity)
    while low < high do
        local middle = math.floor((low + high) / 2)
        if precedes(redis.call('ZREVRANGE', threads, middle, middle)[1], name) then
            high = middle
        else
            low = middle + 1
        end
    end
    return low
end

local start = ARGV[3] == '' and 0 or place_behind(ARGV[3], ARGV[4])
local shows = visibility(ARGV[6], ARGV[7])
local limit, rows, left = tonumber(ARGV[2]), {}, tonumber(ARGV[5])
while left > 0 do
    local count = math.min(64, left, limit - #rows)
    local names = redis.call('ZREVRANGE', threads, start, start + count - 1)
    for _, name in ipairs(names) do
        if shows(redis.call('HGET', thread_key(ARGV[1], name), 'subject'), name) then rows[#rows + 1] = thread_row(ARGV[1], name) end
    end
    if #names < count or #rows == limit then return {rows} end
    start, left = start + count, left - count
    if left == 0 then return {rows, redis.call('ZSCORE', threads, names[count]), names[count]} end
end
return {rows}
