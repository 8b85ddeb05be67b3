-- Rows of limits, as `app.policy.limits` describes them. The server deletes them when they are out of use.
local function limit_key(name) return prefix .. 'limit:' .. name end

-- State of the script: limits by their JSON, present values by name, and values to write by name, each with its lifetime.
local decoded_limits, counted_values, counted_rows = {}, {}, {}

local function decoded(text)
    if text == '' then return {} end
    decoded_limits[text] = decoded_limits[text] or cjson.decode(text)
    return decoded_limits[text]
end

-- Count a request against limits (`app.store.redis.limits.limit_arguments`). Return false and their new values. If one
-- refuses the request, return its index and its present value. Until `keep_counted` is called, the request does not count.
local function count_limits(text, now)
    local values = {}
    for i, limit in ipairs(decoded(text)) do
        local name, count, most, interval = limit[1], limit[2], limit[3], limit[4]
        local value = counted_values[name] or tonumber(redis.call('GET', limit_key(name)) or 0)
        counted_values[name] = value
        local before = interval > 0 and now * 1000 or 0
        values[i] = math.max(value, before) + count * math.max(interval, 1)
        if values[i] - before > most then return i, value end
    end
    return false, values
end

-- Let a request count. Call it when nothing else of the request can fail, with the values that `count_limits` returned.
local function keep_counted(text, values, now)
    for i, limit in ipairs(decoded(text)) do
        local ends = limit[4] > 0 and values[i] / 1000 or limit[5]
        counted_values[limit[1]] = values[i]
        counted_rows[limit[1]] = {values[i], math.max(1, ends - now) + 1000}
    end
end

-- Write the rows that requests have counted against. Call it after their other writes: a server without memory refuses a
-- script at the first write that needs memory.
local function write_counted()
    for name, row in pairs(counted_rows) do
        redis.call('SET', limit_key(name), string.format('%.0f', row[1]), 'PX', string.format('%.0f', row[2]))
    end
end
