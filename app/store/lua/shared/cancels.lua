-- Return the ids of the unfinished messages of a thread, oldest first.
local function unfinished_of(tenant, thread)
    local members = redis.call('ZRANGE', thread_queue_key(tenant, thread), 0, -1)
    local f = redis.call('HMGET', thread_key(tenant, thread), 'processing', 'interrupted', 'head')
    local ids = {}
    if tonumber(f[1] or 0) + tonumber(f[2] or 0) > 0 then ids[1] = f[3] end
    for _, member in ipairs(members) do ids[#ids + 1] = id_of(member) end
    return ids
end

-- Return whether a thread has unfinished messages of other agents than those in a JSON array; '' stands for all agents.
local function any_of_others(tenant, thread, agents)
    if agents == '' then return false end
    local named = {}
    for _, agent in ipairs(cjson.decode(agents)) do named[agent] = true end
    for _, id in ipairs(unfinished_of(tenant, thread)) do
        if not named[redis.call('HGET', message_key(id), 'agent')] then return true end
    end
    return false
end

-- Cancel an unfinished message. A processing message is only marked, and ends with its attempt.
local function cancel(message, now, microseconds, template)
    local key = message_key(message.id)
    if message.state == 'processing' then
        redis.call('HSET', key, 'cancel_requested', '1')
        return
    end
    redis.call('HSET', key, 'fence', above(message.fence, microseconds))
    if message.attempt == 0 then leave_flow(message) end
    finish(message, 'cancelled', now, fill(template, {N = now, T = rfc3339(now)}))
end
