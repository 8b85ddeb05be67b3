-- Read figures, and the changes of state that are not yet in them.
-- KEYS[1] key prefix
-- ARGV[1] tenant or '', ARGV[2] step, ARGV[3] first start, ARGV[4] end, both in milliseconds, ARGV[5...] metrics
-- Returns for each stored period of a metric: tenant, metric, start, fields and values in turn; then what `counted` returns
-- for the changes.
-- include: keys
-- include: counted

local found, wanted = {}, {}
for i = 5, #ARGV do wanted[ARGV[i]] = true end

local function read(key, tenant, metric, start)
    local values = redis.call('HGETALL', key)
    if #values > 0 then found[#found + 1] = {tenant, metric, start, values} end
end

if ARGV[1] == '' then -- only what there is: most periods of many tenants are empty
    local pattern = '^([^:]+):([^:]+):(.*)$'
    local first = #figures_key(ARGV[2], '', '', '') - 1
    for _, key in ipairs(redis.call('ZRANGEBYSCORE', figures_of(ARGV[2]), ARGV[3], '(' .. ARGV[4])) do
        local metric, start, tenant = string.match(string.sub(key, first), pattern)
        if wanted[metric] then read(key, tenant, metric, start) end
    end
else
    for metric in pairs(wanted) do
        for start = tonumber(ARGV[3]), tonumber(ARGV[4]) - 1, tonumber(ARGV[2]) * 1000 do
            local text = string.format('%.0f', start)
            read(figures_key(ARGV[2], metric, text, ARGV[1]), ARGV[1], metric, text)
        end
    end
end
local entries = redis.call('XRANGE', TRANSITIONS, '(' .. (redis.call('GET', FIGURES_HEAD) or '0-0'), '+')
return {found, (counted(entries, ARGV[1]))}
