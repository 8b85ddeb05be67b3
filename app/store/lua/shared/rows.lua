-- A message with the columns that `app.store.rows.to_message` expects.
local function row(id)
    local f = redis.call('HMGET', message_key(id), 'number', 'tenant', 'thread', 'thread_number', 'agent', 'priority',
        'state', 'created_at', 'started_at', 'completed_at', 'error', 'error_code', 'attempt', 'fence',
        'options', 'readiness', 'run_at', 'crashes', 'cancel', 'fingerprint', 'interrupt', 'interrupt_expires_at',
        'resume_value', 'rollback', 'webhook_url', 'output', 'webhook_events')
    return {f[1], id, f[2], f[3], f[4] or '0', f[5], redis.call('GET', content_key(id)), f[6], f[7], f[8], f[9], f[10],
        f[7] == 'completed' and redis.call('GET', result_key(id)), f[11], f[12], f[13] or '0', f[14] or '0', f[15], f[16],
        f[17] or '0', f[18] or '0', f[19] or '0', f[20], f[21], f[22], f[23], f[24], f[25], f[26], f[27]}
end

local function row_length(columns)
    return #columns[7] + (columns[13] and #columns[13] or 0) + (columns[29] and #columns[29] or 0)
end

-- Rows of a sorted set from its beginning: at most `limit`, until their texts reach `most` bytes.
local function page(key, limit, most)
    local rows, length = {}, 0
    while #rows < limit do
        local members = redis.call('ZRANGE', key, #rows, math.min(#rows + 64, limit) - 1)
        if #members == 0 then break end
        for _, member in ipairs(members) do
            rows[#rows + 1] = row(id_of(member))
            length = length + row_length(rows[#rows])
            if length >= most then return rows, length end
        end
    end
    return rows, length
end

-- How many would be claimed first; false while delayed or not queued.
local function position(columns)
    return redis.call('ZRANK', WAITING, member_of(columns[1], columns[2]))
end
