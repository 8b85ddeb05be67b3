-- Rows of limits, as `app.policy.limits` describes them. The server deletes them when they are out of use.
local function limit_key(name) return prefix .. 'limit:' .. name end

-- State of the script: rows by name, as requests have counted against them, and limits by their JSON.
local limit_rows, limits_of = {}, {[''] = {}}

-- Read the rows of limits that the script has not read yet.
local function read_rows(limits)
    local keys, rows = {}, {}
    for _, limit in ipairs(limits) do
        if not limit_rows[limit[1]] then
            limit_rows[limit[1]] = {value = 0}
            keys[#keys + 1], rows[#rows + 1] = limit_key(limit[1]), limit_rows[limit[1]]
        end
    end
    for i, value in ipairs(#keys > 0 and redis.call('MGET', unpack(keys)) or {}) do rows[i].value = tonumber(value or 0) end
end

-- Return the limits of `app.models.limits.Limits.as_json`, each with its row. Many requests have the same ones.
local function decoded(text)
    local limits = limits_of[text]
    if limits then return limits end
    limits = cjson.decode(text)
    read_rows(limits)
    for i, limit in ipairs(limits) do
        local name, interval, step, span, ends = unpack(limit)
        limits[i] = {row = limit_rows[name], interval = interval, step = step, span = span, by_time = interval > 0, ends = ends}
    end
    limits_of[text] = limits
    return limits
end

-- Count a request against limits. Return false and their new values. If one refuses the request, return its index and its
-- present value. Until `keep_counted` is called, the request does not count.
local function count_limits(text, now)
    local values, present = {}, now * 1000
    for i, limit in ipairs(decoded(text)) do
        local value, before = limit.row.value, limit.by_time and present or 0
        local new = (value > before and value or before) + limit.step
        if new - before > limit.span then return i, value end
        values[i] = new
    end
    return false, values
end

-- Let a request count. Call it when nothing else of the request can fail, with the values that `count_limits` returned.
local function keep_counted(text, values, now)
    for i, limit in ipairs(decoded(text)) do
        local row = limit.row
        row.value, row.ends, row.now = values[i], limit.by_time and values[i] / 1000 or limit.ends, now
    end
end

-- Return two numbers for each limit: how much may follow at once, and seconds until all of it is left again.
local function rests_of(text, values, now)
    local rests = {}
    for i, limit in ipairs(decoded(text)) do
        local ahead, left = (limit.ends - now) * 1000, limit.span - values[i]
        if limit.by_time then
            ahead = values[i] - now * 1000
            left = math.floor((limit.span - ahead) / limit.interval)
        end
        rests[2 * i - 1], rests[2 * i] = left, math.max(0, math.ceil(ahead / 1000000))
    end
    return rests
end

-- Write the rows that requests have counted against. Call it after their other writes: a server without memory refuses a
-- script at the first write that needs memory.
local function write_counted()
    for name, row in pairs(limit_rows) do
        if row.now then
            redis.call('SET', limit_key(name), string.format('%.0f', row.value), 'PX',
                string.format('%.0f', math.max(1, row.ends - row.now) + 1000))
        end
    end
end
