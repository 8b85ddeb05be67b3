-- Priority inheritance: a message has the best rank of itself and the messages behind it in its thread. Ranks therefore
-- never fall along a thread. A walk towards its start ends at the first rank that stays, or at a delayed head, which has no
-- rank. The walk begins with one message, which is usually enough, and continues in slices.

-- Store ranks of messages of one thread, given as rank, member, rank, member...
local function rerank(tenant, ranks)
    if #ranks == 0 then return end
    redis.call('ZADD', WAITING, unpack(ranks))
    redis.call('ZADD', of_tenant('waiting', tenant), unpack(ranks))
end

-- Copy the rank of the head to the set that claims read. Only the head can be ready. A held one is ready again, since it may
-- now be the first of its tenant.
local function rerank_head(tenant, queue)
    local head = redis.call('ZRANGE', queue, 0, 0)[1]
    local f = redis.call('HMGET', message_key(id_of(head)), 'agent', 'readiness', 'agent_version')
    if f[2] == 'held' then
        leave_held({tenant = tenant, agent = f[1], version = f[3], member = head})
        redis.call('HSET', message_key(id_of(head)), 'readiness', 'ready')
    end
    if f[2] == 'ready' or f[2] == 'held' then redis.call('ZADD', ready_key(f[1], f[3]), rank_of(head), head) end
end

-- Maximum number of messages to which one operation gives new ranks: the server does nothing else meanwhile. For the rest,
-- `unsettled` gets tenant, thread and the thread number below which `settle.lua` continues.
local MOST_SETTLED, unsettled = 1000, {}

local function note_unsettled(tenant, thread, queue, last)
    unsettled[#unsettled + 1] = {tenant, thread, tonumber(redis.call('ZSCORE', queue, last))}
end

-- Let the waiting messages of a thread inherit this rank, of a message that is added behind them.
local function lift(tenant, thread, rank)
    local queue = thread_queue_key(tenant, thread)
    local walked, step, changed = 0, 1, false
    while true do
        local ahead = redis.call('ZREVRANGE', queue, walked, walked + step - 1)
        local old_ranks = #ahead > 0 and redis.call('ZMSCORE', WAITING, unpack(ahead)) or {}
        local lifted = {}
        for i, other in ipairs(ahead) do
            if not old_ranks[i] or tonumber(old_ranks[i]) <= rank then break end
            lifted[#lifted + 1] = rank
            lifted[#lifted + 1] = other
        end
        rerank(tenant, lifted)
        walked, step, changed = walked + #ahead, 500, changed or #lifted > 0
        if #lifted < 2 * #ahead or #ahead == 0 then break end
        if walked >= MOST_SETTLED then
            note_unsettled(tenant, thread, queue, ahead[#ahead])
            break
        end
    end
    if changed then rerank_head(tenant, queue) end
end

-- Settle a thread: compute again the ranks of messages below this thread number. They depend on the base ranks and on the
-- rank of the next message.
local function settle(tenant, thread, below)
    local queue = thread_queue_key(tenant, thread)
    local place = redis.call('ZCOUNT', queue, '-inf', '(' .. string.format('%.0f', below))
    local member = redis.call('ZRANGE', queue, place, place)[1]
    local inherited = member and rank_of(member) or math.huge
    local walked, step, changed = 0, 1, false
    while place > 0 do
        local first = math.max(place - step, 0)
        local ahead = redis.call('ZRANGE', queue, first, place - 1)
        local old_ranks = redis.call('ZMSCORE', WAITING, unpack(ahead))
        local settled = {}
        for i = #ahead, 1, -1 do
            inherited = math.min(tonumber(redis.call('HGET', message_key(id_of(ahead[i])), 'base_rank')), inherited)
            if not old_ranks[i] or tonumber(old_ranks[i]) == inherited then break end
            settled[#settled + 1] = inherited
            settled[#settled + 1] = ahead[i]
        end
        rerank(tenant, settled)
        walked, place, step, changed = walked + #ahead, first, 500, changed or #settled > 0
        if #settled < 2 * #ahead then break end
        if walked >= MOST_SETTLED and place > 0 then
            note_unsettled(tenant, thread, queue, ahead[1])
            break
        end
    end
    if changed then rerank_head(tenant, queue) end
end
