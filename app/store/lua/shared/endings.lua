-- Return whether the webhook of a message that enters this state is told, as in `app.store.receivers.told_of`.
local function wants_delivery(message, state)
    if not message.webhook_url then return false end
    if not message.webhook_events then return state ~= 'interrupted' end
    return string.find(message.webhook_events, '"' .. state .. '"', 1, true) ~= nil
end

local function add_delivery(message, state, now, event, id, url, receiver)
    redis.call('HSET', delivery_key(id), 'tenant', message.tenant, 'message_id', message.id, 'url', url,
        'event', state, 'data', string.sub(event, (string.find(event, '{', 1, true))), 'state', 'pending',
        'created_at', now, 'next_at', now)
    if message.thread then redis.call('HSET', delivery_key(id), 'thread_id', message.thread) end
    if receiver then redis.call('HSET', delivery_key(id), 'receiver', receiver) end
    redis.call('RPUSH', deliveries_key(message.id), id)
    redis.call('ZADD', deliveries_of_kind(message.tenant, 'pending', state), now, id)
    redis.call('ZADD', DUE, now, id)
end

-- Add the deliveries that tell of a new state: `id` to the webhook, and one to each receiver.
local function deliver(message, state, now, event, id)
    if wants_delivery(message, state) then add_delivery(message, state, now, event, id, message.webhook_url) end
    for _, each in ipairs(message.receivers and cjson.decode(message.receivers) or {}) do
        add_delivery(message, state, now, event, id .. '.' .. each.key, each.url, each.key)
    end
end

local function finish(message, state, now, event)
    if message.state == 'processing' then
        leave_worker(message)
    elseif message.state == 'interrupted' then
        leave_interrupted(message)
    else
        leave_queue(message)
        release(message.tenant, 1)  -- it may have been the first of its tenant
    end
    local key = message_key(message.id)
    redis.call('HSET', key, 'state', state, 'completed_at', now)
    redis.call('HDEL', key, 'readiness', 'worker', 'cancel_requested', 'interrupt', 'interrupt_expires_at', 'resume_value')
    redis.call('RPUSH', log_key(message.id), event)
    redis.call('ZADD', ENDED, now, message.member)
    redis.call('ZADD', of_tenant('logged', message.tenant), now, message.member)
    redis.call('SADD', PRUNABLE, message.tenant)
    redis.call('HINCRBY', of_tenant('tallies', message.tenant), state, 1)
    recount(message, message.state, state, now)
    local first_token, run
    if state == 'completed' then
        local first_chunk_at = redis.call('HGET', key, 'first_chunk_at')
        first_token = first_chunk_at and first_chunk_at - message.started_at
        run = now - message.started_at
    end
    record(state, message, now, nil, first_token, run, message.error_code)
    deliver(message, state, now, event, message.id .. '.' .. message.number)
end

local function add_dead_letter(tenant, id, number, fingerprint, at)
    redis.call('ZADD', of_tenant('failed', tenant), number, id)
    redis.call('ZADD', kind_key(tenant, fingerprint), at, member_of(number, id))
    redis.call('ZADD', of_tenant('kinds', tenant), 'LT', -at, fingerprint)
    redis.call('INCR', DEAD_LETTERS)
end

local function fail(message, now, event, error, code, fingerprint)
    redis.call('HSET', message_key(message.id), 'error', error, 'error_code', code, 'fingerprint', fingerprint)
    message.error_code = code
    finish(message, 'failed', now, event)
    add_dead_letter(message.tenant, message.id, message.number, fingerprint, now)
end

-- Remove failed messages of a tenant from its dead letters.
local function remove_dead_letters(tenant, messages)
    local ids, kinds = {}, {}
    for i, message in ipairs(messages) do
        local members = kinds[message.fingerprint] or {}
        members[#members + 1] = message.member
        ids[i], kinds[message.fingerprint] = message.id, members
    end
    by_thousands(ids, 'ZREM', of_tenant('failed', tenant))
    redis.call('DECRBY', DEAD_LETTERS, #ids)
    for fingerprint, members in pairs(kinds) do
        local kind = kind_key(tenant, fingerprint)
        by_thousands(members, 'ZREM', kind)
        local newest = redis.call('ZRANGE', kind, -1, -1, 'WITHSCORES')
        if #newest == 0 then
            redis.call('ZREM', of_tenant('kinds', tenant), fingerprint)
        else
            redis.call('ZADD', of_tenant('kinds', tenant), '-' .. newest[2], fingerprint)
        end
    end
end

-- List the attempt as failed. Call this before the change of state, which deletes when the attempt began.
local function note_attempt(message, now, error, code, details)
    if details == '' then details = nil end
    local began = redis.call('ZSCORE', of_tenant('processing', message.tenant), message.member)
    redis.call('RPUSH', attempts_key(message.id),
        cmsgpack.pack({message.attempt, message.worker, tonumber(began), now, error, code, details}))
end

-- Delete an ended message. Return whether its log was complete.
local function erase(message)
    redis.call('ZREM', ENDED, message.member)
    local was_complete = redis.call('ZREM', of_tenant('logged', message.tenant), message.member) == 1
    if not was_complete then redis.call('ZREM', of_tenant('pruned', message.tenant), message.member) end
    redis.call('ZREM', of_tenant('messages', message.tenant), message.id)
    leave_flow(message)
    if message.state == 'failed' then
        message.fingerprint = redis.call('HGET', message_key(message.id), 'fingerprint')
        remove_dead_letters(message.tenant, {message})
    end
    for _, id in ipairs(redis.call('LRANGE', deliveries_key(message.id), 0, -1)) do
        local f = redis.call('HMGET', delivery_key(id), 'state', 'event')
        redis.call('ZREM', DUE, id)
        redis.call('ZREM', deliveries_of_kind(message.tenant, f[1], f[2]), id)
        redis.call('UNLINK', delivery_key(id))
    end
    local aliases = redis.call('HGET', message_key(message.id), 'aliases')
    for _, alias in ipairs(aliases and cjson.decode(aliases) or {}) do
        redis.call('UNLINK', alias_key(message.tenant, alias))
    end
    redis.call('UNLINK', message_key(message.id), content_key(message.id), result_key(message.id), log_key(message.id),
        attempts_key(message.id), deliveries_key(message.id), usage_key(message.id))
    redis.call('HINCRBY', of_tenant('tallies', message.tenant), message.state, -1)
    if message.thread then
        local messages = thread_messages_key(message.tenant, message.thread)
        redis.call('HINCRBY', thread_key(message.tenant, message.thread), message.state, -1)
        redis.call('ZREM', messages, message.id)
        if redis.call('ZCARD', messages) == 0 then
            redis.call('ZADD', of_tenant('empty', message.tenant),
                redis.call('ZSCORE', of_tenant('threads', message.tenant), message.thread), message.thread)
        end
    end
    return was_complete
end
