-- Add counts to the numbers in a hash's field, which are separated by spaces: the fields of `app.models.usage.Tokens`.
local function add_counts(key, field, counts)
    local known, sums = redis.call('HGET', key, field), {}
    for number in string.gmatch(known or '', '%d+') do sums[#sums + 1] = tonumber(number) end
    for i, count in ipairs(counts) do sums[i] = string.format('%.0f', (sums[i] or 0) + count) end
    redis.call('HSET', key, field, table.concat(sums, ' '))
end

-- Add to the usage of a message and of the present hour. `used` has, for each model, its name and its counts.
local function add_usage(id, now, used)
    local f = redis.call('HMGET', message_key(id), 'tenant', 'key_id', 'subject', 'agent')
    local hour = string.format('%.0f', math.floor(now / 3600000))
    for _, each in ipairs(used) do
        add_counts(usage_key(id), each[1], each[2])
        add_counts(hourly_usage_key(f[1], hour), cjson.encode({f[2] or '', f[3] or '', f[4], each[1]}), each[2])
    end
    redis.call('ZADD', of_tenant('usage_hours', f[1]), hour, hour)
    redis.call('ZADD', USAGE_HOURS, hour, scope(f[1], hour))
end
