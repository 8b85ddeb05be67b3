-- Record a change of a message, which has its state before the change. `wait`, `first_token` and `run` are in milliseconds,
-- nil where there is none.
local function record(kind, message, now, wait, first_token, run, code)
    changes[#changes + 1] = {now, message.tenant, kind, message.agent, message.priority, wait or -1, first_token or -1,
        run or -1, code or '', '', message.id, message.thread or '', message.state or '', ''}
end

-- Return the fields of a message that changes of state need, nil if there is none.
local function load(id)
    local f = redis.call('HMGET', message_key(id), 'number', 'tenant', 'thread_id', 'agent', 'base_rank', 'state',
        'readiness', 'attempt', 'fence', 'begun', 'run_at', 'worker', 'started_at', 'cancel_requested', 'webhook_url',
        'thread_number', 'priority', 'dropped', 'since', 'webhook_events',
        'receivers')
    if not f[1] then return nil end
    return {
        id = id, number = f[1], member = member_of(f[1], id), tenant = f[2], thread = f[3], agent = f[4],
        base_rank = tonumber(f[5]), state = f[6], readiness = f[7], attempt = tonumber(f[8] or 0),
        fence = tonumber(f[9] or 0), begun = f[10] or '1', run_at = tonumber(f[11] or 0), worker = f[12], started_at = tonumber(f[13] or 0),
        cancelled = f[14], webhook_url = f[15], thread_number = f[16], priority = f[17],
        dropped = tonumber(f[18] or 0), since = tonumber(f[19] or 0), webhook_events = f[20],
        receivers = f[21],
    }
end

-- Return `load(id)`, nil for a message of another tenant.
local function load_of(tenant, id)
    local message = load(id)
    if message and message.tenant == tenant then return message end
    return nil
end

-- Return `load(id)`, nil unless this fence holds the message. It guards all writes of an attempt.
local function leased(id, fence)
    local message = load(id)
    if message and message.state == 'processing' and message.fence == tonumber(fence) then return message end
    return nil
end

local function recount(message, from, to, now)
    if not message.thread then return end
    local thread = thread_key(message.tenant, message.thread)
    redis.call('HINCRBY', thread, from, -1)
    redis.call('HINCRBY', thread, to, 1)
    if to == 'completed' or to == 'failed' or to == 'cancelled' then redis.call('HSET', thread, 'last_ended', to) end
    redis.call('ZADD', of_tenant('threads', message.tenant), 'GT', now, message.thread)
end

local function rank_of(member)
    return tonumber(redis.call('ZSCORE', WAITING, member) or nil)
end

-- Return the version of its agent that a message has, false if it has none. `load` does not read it: few scripts need it,
-- and a field that a hash lacks takes the longest to look for.
local function version_of(message)
    if message.version == nil then message.version = redis.call('HGET', message_key(message.id), 'agent_version') end
    return message.version
end

-- Let the flow of a message know its own rank. `flow` is the name of the flow within the tenant.
local function join_flow(message, flow, rank) redis.call('ZADD', flow_key(message.tenant, flow, rank), rank, message.member) end

-- Take a message out of its flow. It then takes no turn.
local function leave_flow(message)
    local f = redis.call('HMGET', message_key(message.id), 'base_rank', 'flow')
    redis.call('ZREM', flow_key(message.tenant, f[2] or '', f[1]), message.member)
end

-- Let claims find a ready message.
local function offer(message, rank)
    local version = version_of(message)
    redis.call('ZADD', ready_key(message.agent, version), rank, message.member)
    if version then redis.call('SADD', versions_key('ready'), version_name(message.agent, version)) end
end

local function leave_held(message)
    redis.call('ZREM', held_key(message.tenant, version_name(message.agent, version_of(message))), message.member)
end

-- Hold back a ready message: its tenant runs as many messages as it may.
local function hold_back(message, rank)
    local version = version_of(message)
    local name = version_name(message.agent, version)
    redis.call('ZREM', ready_key(message.agent, version), message.member)
    redis.call('HSET', message_key(message.id), 'readiness', 'held')
    redis.call('ZADD', held_key(message.tenant, name), rank, message.member)
    redis.call('SADD', of_tenant('held', message.tenant), name)
    redis.call('SADD', HOLDING, message.tenant)
end

local any_held -- whether there were held messages when the script began

-- Make the first held messages of a tenant ready, up to `count` of each agent and version. Return how many. An agent without
-- workers therefore keeps no other from the room of the tenant.
local function release(tenant, count)
    if any_held == nil then any_held = redis.call('EXISTS', HOLDING) == 1 end
    if not any_held then return 0 end
    local held, released = of_tenant('held', tenant), 0
    for _, name in ipairs(redis.call('SMEMBERS', held)) do
        local list, key = cjson.decode(name), held_key(tenant, name)
        local first = redis.call('ZRANGE', key, 0, count - 1, 'WITHSCORES')
        for i = 1, #first, 2 do
            redis.call('HSET', message_key(id_of(first[i])), 'readiness', 'ready')
            redis.call('ZADD', ready_key(list[1], list[2]), first[i + 1], first[i])
            redis.call('ZREM', key, first[i])
        end
        if list[2] and #first > 0 then redis.call('SADD', versions_key('ready'), name) end
        if redis.call('EXISTS', key) == 0 then redis.call('SREM', held, name) end
        released = released + #first / 2
    end
    if released > 0 and redis.call('EXISTS', held) == 0 then redis.call('SREM', HOLDING, tenant) end
    return released
end

local function wait(message, rank)
    redis.call('ZADD', WAITING, rank, message.member)
    redis.call('ZADD', of_tenant('waiting', message.tenant), rank, message.member)
    if message.readiness == 'ready' then offer(message, rank) end
end

local function delay(tenant, member, run_at)
    redis.call('ZADD', DELAYED, run_at, member)
    redis.call('ZADD', of_tenant('delayed', tenant), run_at, member)
end

local function leave_waiting(message)
    if message.readiness == 'delayed' then
        redis.call('ZREM', DELAYED, message.member)
        redis.call('ZREM', of_tenant('delayed', message.tenant), message.member)
        return
    end
    redis.call('ZREM', WAITING, message.member)
    redis.call('ZREM', of_tenant('waiting', message.tenant), message.member)
    if message.readiness == 'ready' then redis.call('ZREM', ready_key(message.agent, version_of(message)), message.member) end
    if message.readiness == 'held' then leave_held(message) end
end

local function leave_queue(message)
    leave_waiting(message)
    if message.thread then
        redis.call('ZREM', thread_queue_key(message.tenant, message.thread), message.member)
    end
end

local function leave_worker(message)
    redis.call('ZREM', LEASES, message.member)
    redis.call('ZREM', of_tenant('processing', message.tenant), message.member)
    release(message.tenant, 1)
end

local function leave_interrupted(message)
    redis.call('ZREM', INTERRUPTED, message.member)
    redis.call('ZREM', of_tenant('interrupted', message.tenant), message.id)
end

-- Make a head ready, with the best rank of itself and the messages behind it. `next_place` is the index of the next
-- message in the thread's queue.
local function ready_as_head(message, next_place)
    local rank = message.base_rank
    if message.thread then
        local queue = thread_queue_key(message.tenant, message.thread)
        local behind = redis.call('ZRANGE', queue, next_place, next_place)[1]
        if behind then rank = math.min(rank, rank_of(behind)) end
    end
    message.readiness = 'ready'
    redis.call('HSET', message_key(message.id), 'readiness', 'ready')
    wait(message, rank)
end

-- Make the next message of the thread its head. It becomes ready, or delayed and without a rank until its `run_at`. Only
-- heads begin, so it has no version.
local function promote_next(message, now)
    if not message.thread then return end
    local member = redis.call('ZRANGE', thread_queue_key(message.tenant, message.thread), 0, 0)[1]
    if not member then return end
    local key = message_key(id_of(member))
    local f = redis.call('HMGET', key, 'agent', 'run_at')
    if tonumber(f[2] or 0) > now then
        redis.call('ZREM', WAITING, member)
        redis.call('ZREM', of_tenant('waiting', message.tenant), member)
        redis.call('HSET', key, 'readiness', 'delayed')
        delay(message.tenant, member, f[2])
    else
        redis.call('HSET', key, 'readiness', 'ready', 'since', now)
        redis.call('ZADD', ready_key(f[1]), rank_of(member), member)
    end
end

-- Queue a message again, as the head of its thread.
local function rejoin(message, now, run_at, event)
    if run_at <= now then
        ready_as_head(message, 0)
    else
        redis.call('HSET', message_key(message.id), 'readiness', 'delayed')
        delay(message.tenant, message.member, run_at)
    end
    if message.thread then
        redis.call('ZADD', thread_queue_key(message.tenant, message.thread), message.thread_number, message.member)
    end
    redis.call('RPUSH', log_key(message.id), event)
    recount(message, message.state, 'queued', now)
end

-- End the attempt and queue the message for another one. `kind` is that of the change (`record`).
local function put_back(kind, message, fence, now, run_at, event)
    leave_worker(message)
    redis.call('HSET', message_key(message.id), 'state', 'queued', 'fence', fence, 'since', now, 'run_at',
        run_at > now and run_at or 0)
    redis.call('HDEL', message_key(message.id), 'worker')
    rejoin(message, now, run_at, event)
    record(kind, message, now)
end
