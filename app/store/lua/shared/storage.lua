-- Sizes are the fields of `app.models.storage.MessageSizes`. `left` counts down to 0, where a script has to end.

local PARTS = 64
local MESSAGE_COST = 4
local BYTES_OF_ONE = 4096 -- bytes that are read in the time of one event

-- Add the events of a log to `sizes`, without the first `skipped`. Return what is left, and how many were added or skipped if
-- the log has more.
local function add_log(id, skipped, sizes, left)
    local log, at = log_key(id), skipped
    local count = redis.call('LLEN', log)
    while at < count do
        local events, bytes = redis.call('LRANGE', log, at, at + PARTS - 1), 0
        for _, event in ipairs(events) do bytes = bytes + #event - event:find('{', 1, true) + 1 end
        at, left = at + #events, left - #events - bytes / BYTES_OF_ONE
        sizes[3], sizes[4] = sizes[3] + #events, sizes[4] + bytes
        if left <= 0 and at < count then return left, at end
    end
    return left
end

local function add_message(id, sizes, left)
    local bytes = redis.call('STRLEN', content_key(id)) + redis.call('STRLEN', result_key(id))
    for _, field in ipairs({'options', 'metadata', 'output', 'error', 'interrupt', 'resume_value'}) do
        bytes = bytes + redis.call('HSTRLEN', message_key(id), field)
    end
    sizes[1], sizes[2] = sizes[1] + 1, sizes[2] + bytes
    return add_log(id, 0, sizes, left - MESSAGE_COST)
end

-- Measure messages of a sorted set of ids by numbers, above `number`. With `skipped` above 0, begin with the message of that
-- number, of whose log so many events are counted. `counts` tells of an id whether it counts. Return what is left, and the number
-- and the events at which to continue, nothing at the end.
local function add_messages(key, number, skipped, sizes, left, counts)
    local begun = skipped > 0 and redis.call('ZRANGEBYSCORE', key, number, number)[1]
    if begun then
        local at
        left, at = add_log(begun, skipped, sizes, left)
        if at then return left, number, at end
    end
    while true do
        local ids = redis.call('ZRANGEBYSCORE', key, '(' .. number, '+inf', 'WITHSCORES', 'LIMIT', 0, PARTS)
        if #ids == 0 then return left end
        for i = 1, #ids, 2 do
            if left <= 0 then return left, number, 0 end
            local at
            number, left = ids[i + 1], left - 1
            if counts(ids[i]) then left, at = add_message(ids[i], sizes, left) end
            if at then return left, number, at end
        end
    end
end
