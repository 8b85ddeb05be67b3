-- Claim the oldest running erasure that no process works on.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] time until which no other process claims it
-- Returns its fields; false if there is none.
-- include: keys
-- include: time
-- include: erasures
-- include: once

local function run(ARGV)
    if recalled then return erasure_row('', recalled) or false end
    local found, started_at
    for _, id in ipairs(redis.call('HVALS', ERASING)) do
        local f = redis.call('HMGET', erasure_key(id), 'started_at', 'busy_until')
        local start = tonumber(f[1])
        if tonumber(f[2]) <= time(ARGV[1]) and (not found or start < started_at or start == started_at and id < found) then
            found, started_at = id, start
        end
    end
    if not found then return false end
    redis.call('HSET', erasure_key(found), 'busy_until', ARGV[2])
    remember(found)
    return erasure_row('', found)
end

return each(run)
