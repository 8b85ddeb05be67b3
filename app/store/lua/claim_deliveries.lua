-- Claim deliveries that are due, the most overdue first.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] limit, ARGV[3] milliseconds until they are due again
-- Returns their rows.
-- include: keys
-- include: time
-- include: deliveries
-- include: once

local function run(ARGV)
    local taken = recalled
    if not taken then
        taken = {}
        local now = time(ARGV[1])
        local again_at = now + tonumber(ARGV[3])
        for i, id in ipairs(redis.call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0, ARGV[2])) do
            redis.call('ZADD', DUE, again_at, id)
            redis.call('HSET', delivery_key(id), 'next_at', again_at)
            taken[i] = {id, redis.call('HINCRBY', delivery_key(id), 'tries', 1)}
        end
        if #taken > 0 then remember(taken) end
    end
    local rows = {}
    for _, claimed in ipairs(taken) do
        -- When a claim is repeated, another process may already have claimed the delivery.
        local columns = delivery_row(claimed[1])
        if columns and tonumber(columns[{delivery.tries}]) == claimed[2] then rows[#rows + 1] = columns end
    end
    return rows
end

return each(run)
