-- Add changes of state to the figures, unless another process has added them.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] and ARGV[2] ids of the last changes that are in the figures now and afterwards, then for each figure: step,
-- tenant, metric, start, field, value
-- Returns 1, or 0 if another process was faster.
-- include: keys
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    if (redis.call('GET', FIGURES_HEAD) or '0-0') ~= ARGV[1] then return 0 end
    local known = {}
    for i = 3, #ARGV, 6 do
        local step, tenant, start = ARGV[i], ARGV[i + 1], ARGV[i + 3]
        local key = figures_key(step, ARGV[i + 2], start, tenant)
        redis.call('HINCRBY', key, ARGV[i + 4], ARGV[i + 5])
        if not known[key] then redis.call('ZADD', figures_of(step), start, key) end
        known[key] = true
    end
    redis.call('SET', FIGURES_HEAD, ARGV[2])
    return remember(1)
end

return each(run)
