-- Changes of state. Each moves the message between the sorted sets, counts it in its thread and writes its event.
local function load(id)
    local f = redis.call('HMGET', message_key(id), 'number', 'tenant', 'thread', 'thread_number', 'agent', 'base_rank',
        'state', 'place', 'attempt', 'crashes', 'fence', 'begun')
    if not f[1] then return nil end
    return {
        id = id, member = member_of(f[1], id), tenant = f[2], thread = f[3], thread_number = f[4], agent = f[5],
        base_rank = tonumber(f[6]), state = f[7], place = f[8], attempt = tonumber(f[9] or 0),
        crashes = tonumber(f[10] or 0), fence = tonumber(f[11] or 0), begun = f[12] or '1',
    }
end

-- The guard of every write of an attempt: the message, if this fence holds it.
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
    redis.call('ZADD', of_tenant('threads', message.tenant), 'GT', now, message.thread)
end

-- Scores of WAITING are the ranks.
local function rank_of(member)
    return tonumber(redis.call('ZSCORE', WAITING, member) or nil)
end

local function wait(message, rank)
    redis.call('ZADD', WAITING, rank, message.member)
    redis.call('ZADD', of_tenant('waiting', message.tenant), rank, message.member)
    if message.place == 'ready' then redis.call('ZADD', ready_key(message.agent), rank, message.member) end
end

-- New ranks of messages of one thread: rank, member, rank, member...
local function rerank(tenant, ranks)
    if #ranks == 0 then return end
    redis.call('ZADD', WAITING, unpack(ranks))
    redis.call('ZADD', of_tenant('waiting', tenant), unpack(ranks))
end

-- After that: only the head of the thread can be ready, and then it is claimed by its rank.
local function rerank_head(queue)
    local head = redis.call('ZRANGE', queue, 0, 0)[1]
    local f = redis.call('HMGET', message_key(id_of(head)), 'agent', 'place')
    if f[2] == 'ready' then redis.call('ZADD', ready_key(f[1]), rank_of(head), head) end
end

local function wait_no_longer(message)
    if message.place == 'delayed' then
        redis.call('ZREM', DELAYED, message.member)
        redis.call('ZREM', of_tenant('delayed', message.tenant), message.member)
        return
    end
    redis.call('ZREM', WAITING, message.member)
    redis.call('ZREM', of_tenant('waiting', message.tenant), message.member)
    if message.place == 'ready' then redis.call('ZREM', ready_key(message.agent), message.member) end
end

local function leave_queue(message)
    wait_no_longer(message)
    if message.thread then
        redis.call('ZREM', thread_queue_key(message.tenant, message.thread), message.member)
    end
end

local function leave_worker(message)
    redis.call('ZREM', LEASES, message.member)
    redis.call('ZREM', of_tenant('processing', message.tenant), message.member)
    redis.call('HDEL', message_key(message.id), 'worker')
end

-- A head becomes ready with the best rank of itself and those behind it; `next_place` is where the next one stands in
-- the queue of the thread.
local function ready_as_head(message, next_place)
    local rank = message.base_rank
    if message.thread then
        local queue = thread_queue_key(message.tenant, message.thread)
        local behind = redis.call('ZRANGE', queue, next_place, next_place)[1]
        if behind then rank = math.min(rank, rank_of(behind)) end
    end
    message.place = 'ready'
    redis.call('HSET', message_key(message.id), 'place', 'ready')
    wait(message, rank)
end

local function promote_next(message)
    if not message.thread then return end
    local member = redis.call('ZRANGE', thread_queue_key(message.tenant, message.thread), 0, 0)[1]
    if not member then return end
    local key = message_key(id_of(member))
    redis.call('HSET', key, 'place', 'ready')
    redis.call('ZADD', ready_key(redis.call('HGET', key, 'agent')), rank_of(member), member)
end

local function finish(message, state, now, event)
    if message.state == 'processing' then leave_worker(message) else leave_queue(message) end
    local key = message_key(message.id)
    redis.call('HSET', key, 'state', state, 'completed_at', now)
    redis.call('HDEL', key, 'place')
    redis.call('RPUSH', log_key(message.id), event)
    redis.call('ZADD', ENDED, now, message.member)
    redis.call('ZADD', LOGGED, now, message.member)
    redis.call('HINCRBY', of_tenant('tallies', message.tenant), state, 1)
    recount(message, message.state, state, now)
end

local function requeue(message, fence, now, run_at, event)
    leave_worker(message)
    local key = message_key(message.id)
    redis.call('HSET', key, 'state', 'queued', 'fence', fence)
    if run_at <= now then
        ready_as_head(message, 0)
    else
        redis.call('HSET', key, 'place', 'delayed')
        redis.call('ZADD', DELAYED, run_at, message.member)
        redis.call('ZADD', of_tenant('delayed', message.tenant), run_at, message.member)
    end
    if message.thread then
        redis.call('ZADD', thread_queue_key(message.tenant, message.thread), message.thread_number, message.member)
    end
    redis.call('RPUSH', log_key(message.id), event)
    recount(message, 'processing', 'queued', now)
end
