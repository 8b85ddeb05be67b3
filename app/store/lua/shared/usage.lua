-- Add counts to the numbers in a hash's field, which are separated by spaces: the fields of `app.models.usage.Tokens`.
local function add_counts(key, field, counts)
    local known, sums = redis.call('HGET', key, field), {}
    for number in string.gmatch(known or '', '%d+') do sums[#sums + 1] = tonumber(number) end
    for i, count in ipairs(counts) do sums[i] = string.format('%.0f', (sums[i] or 0) + count) end
    redis.call('HSET', key, field, table.concat(sums, ' '))
end

-- Add to the usage of a message and of the present hour, and record it for the figures: no reader of changes sees the record.
-- `used` has, for each model, its name and its counts.
local function add_usage(id, now, used)
    local f = redis.call('HMGET', message_key(id), 'tenant', 'key_id', 'subject', 'agent', 'priority')
    local hour = string.format('%.0f', math.floor(now / 3600000))
    local sums = {}
    for _, each in ipairs(used) do
        for i, count in ipairs(each[2]) do sums[i] = (sums[i] or 0) + count end
        add_counts(usage_key(id), each[1], each[2])
        add_counts(hourly_usage_key(f[1], hour), cjson.encode({f[2] or '', f[3] or '', f[4], each[1]}), each[2])
    end
    for i, sum in ipairs(sums) do sums[i] = string.format('%.0f', sum) end
    changes[#changes + 1] = {now, f[1], 'usage', f[4], f[5], -1, -1, -1, '', table.concat(sums, ' '), '', '', '', ''}
    redis.call('ZADD', of_tenant('usage_hours', f[1]), hour, hour)
    redis.call('ZADD', USAGE_HOURS, hour, scope(f[1], hour))
end
