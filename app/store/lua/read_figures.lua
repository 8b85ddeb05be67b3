-- Read figures, and the changes of state that are not yet in them.
-- KEYS[1] key prefix
-- ARGV[1] tenant or '', ARGV[2] step, ARGV[3] first start, ARGV[4] end, both in milliseconds, ARGV[5] 1 for each
-- period by itself, 0 for their sums, ARGV[6...] metrics
-- Returns for each stored period of a metric, or for their sum: tenant, metric, start, fields and values in turn; then what
-- `counted` returns for the changes.
-- include: keys
-- include: counted

local found, wanted, sums = {}, {}, {}
for i = 6, #ARGV do wanted[ARGV[i]] = true end

-- Return the sums by field of a tenant's metric.
local function sums_of(tenant, metric)
    local name = scope(tenant, metric)
    if not sums[name] then
        sums[name] = {}
        found[#found + 1] = {tenant, metric, ARGV[3], sums[name]}
    end
    return sums[name]
end

local function read(key, tenant, metric, start)
    local values = redis.call('HGETALL', key)
    if #values == 0 then return end
    if ARGV[5] == '1' then
        found[#found + 1] = {tenant, metric, start, values}
        return
    end
    local summed = sums_of(tenant, metric)
    for i = 1, #values, 2 do summed[values[i]] = (summed[values[i]] or 0) + tonumber(values[i + 1]) end
end

-- Return fields and values in turn.
local function in_turn(summed)
    local values = {}
    for field, value in pairs(summed) do
        values[#values + 1] = field
        values[#values + 1] = string.format('%.0f', value)
    end
    return values
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
if ARGV[5] ~= '1' then
    for _, each in ipairs(found) do each[4] = in_turn(each[4]) end
end
local entries = redis.call('XRANGE', TRANSITIONS, '(' .. (redis.call('GET', FIGURES_HEAD) or '0-0'), '+')
return {found, (counted(entries, ARGV[1]))}
