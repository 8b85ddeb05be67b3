-- Count the unfinished messages and the dead letters of all tenants.
-- KEYS[1] key prefix
-- ARGV[1] number of levels of the claim order
-- Returns for each level the count of its waiting messages and its first one (when it was accepted, run_at) or false; then
-- the counts of delayed, processing, interrupted and failed messages.
-- include: keys

local LEVEL = 1000000000000000
local levels = {}
for level = 0, tonumber(ARGV[1]) - 1 do
    local from, to = string.format('%.0f', level * LEVEL), string.format('(%.0f', (level + 1) * LEVEL)
    local first = redis.call('ZRANGEBYSCORE', WAITING, from, to, 'LIMIT', 0, 1)[1]
    if first then
        local f = redis.call('HMGET', message_key(id_of(first)), 'number', 'run_at')
        first = {math.floor(f[1] / 1000), f[2] or 0} -- numbers are not below the clock, in microseconds
    end
    levels[level + 1] = {redis.call('ZCOUNT', WAITING, from, to), first or false}
end
return {levels, redis.call('ZCARD', DELAYED), redis.call('ZCARD', LEASES), redis.call('ZCARD', INTERRUPTED),
    redis.call('GET', DEAD_LETTERS) or 0}
