-- Return these columns of a message. Its hash has all of them but `id`, `content` and `result`.
local function columns_of(id, ...)
    local columns = redis.call('HMGET', message_key(id), ...)
    columns[{message.id}], columns[{message.content}] = id, redis.call('GET', content_key(id))
    if columns[{message.state}] == 'completed' then columns[{message.result}] = redis.call('GET', result_key(id)) end
    columns[{message.thread_number}] = columns[{message.thread_number}] or '0'
    columns[{message.attempt}] = columns[{message.attempt}] or '0'
    columns[{message.fence}] = columns[{message.fence}] or '0'
    columns[{message.crashes}] = columns[{message.crashes}] or '0'
    columns[{message.cancel_requested}] = columns[{message.cancel_requested}] or '0'
    return columns
end

-- Return a message in `app.store.rows.MESSAGE_COLUMNS`.
local function row(id) return columns_of(id, {message_columns}) end

-- Likewise without its options, which may have megabytes.
local function listed_row(id) return columns_of(id, {listed_columns}) end

local function row_length(columns)
    local result, output, metadata = columns[{message.result}], columns[{message.output}], columns[{message.metadata}]
    return #columns[{message.content}] + (result and #result or 0) + (output and #output or 0)
        + (metadata and #metadata or 0)
end

-- Return up to `limit` rows of a sorted set, until their texts reach `most` bytes, and the bytes of their texts.
local function page(key, limit, most)
    local rows, length = {}, 0
    while #rows < limit do
        local members = redis.call('ZRANGE', key, #rows, math.min(#rows + 64, limit) - 1)
        if #members == 0 then break end
        for _, member in ipairs(members) do
            rows[#rows + 1] = listed_row(id_of(member))
            length = length + row_length(rows[#rows])
            if length >= most then return rows, length end
        end
    end
    return rows, length
end

-- Return how many messages would be claimed before this one, false if it is delayed or not queued.
local function position(columns)
    return redis.call('ZRANK', WAITING, member_of(columns[{message.number}], columns[{message.id}]))
end
