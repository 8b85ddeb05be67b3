-- Read figures, and the changes of state that are not yet in them.
-- KEYS[1] key prefix
-- ARGV[1] tenant or '', ARGV[2] step, ARGV[3] first start, ARGV[4] end, both in milliseconds, ARGV[5...] metrics
-- Returns for each stored period of a metric: tenant, metric, start, fields and values in turn; then what `counted` returns
-- for the changes.
-- include: keys
-- include: counted

local tenants = ARGV[1] ~= '' and {ARGV[1]} or redis.call('SMEMBERS', FIGURES_TENANTS)
local found = {}
for _, tenant in ipairs(tenants) do
    for i = 5, #ARGV do
        for start = tonumber(ARGV[3]), tonumber(ARGV[4]) - 1, tonumber(ARGV[2]) * 1000 do
            local text = string.format('%.0f', start)
            local values = redis.call('HGETALL', figures_key(ARGV[2], ARGV[i], text, tenant))
            if #values > 0 then found[#found + 1] = {tenant, ARGV[i], text, values} end
        end
    end
end
local entries = redis.call('XRANGE', TRANSITIONS, '(' .. (redis.call('GET', FIGURES_HEAD) or '0-0'), '+')
return {found, (counted(entries, ARGV[1]))}
