-- List threads of a tenant, newest activity first.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] limit, ARGV[3] and ARGV[4] cursor: last activity and id of the last thread seen, or ''
-- Returns their rows.
-- include: keys
-- include: threads
-- include: order

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
local rows = {}
for i, name in ipairs(redis.call('ZREVRANGE', threads, start, start + tonumber(ARGV[2]) - 1)) do
    rows[i] = thread_row(ARGV[1], name)
end
return rows
