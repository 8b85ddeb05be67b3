-- Accepts a message as queued, behind all of its thread.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] turn, ARGV[2] operation, ARGV[3] time or '', ARGV[4] how many may be queued, ARGV[5] id, ARGV[6] tenant,
-- ARGV[7] thread or '', ARGV[8] agent, ARGV[9] content, ARGV[10] priority, ARGV[11] rank at time 0, ARGV[12] preview
-- Returns number, thread number, time, position, whether it is ready; false when the queue is full.
-- include: keys
-- include: queue
-- include: once
-- include: time
-- include: messages

if recalled then return recalled end
local id, tenant, thread, agent = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
if redis.call('EXISTS', message_key(id)) == 1 then return redis.error_reply('ERR this message id is taken') end
if redis.call('ZCARD', WAITING) + redis.call('ZCARD', DELAYED) >= tonumber(ARGV[4]) then return false end

local now, microseconds = clock(ARGV[3])
local rank = tonumber(ARGV[11]) + now
local number = above(redis.call('GET', prefix .. 'number'), microseconds)
redis.call('SET', prefix .. 'number', number)
local member = member_of(number, id)
local message = {id = id, member = member, tenant = tenant, agent = agent, place = 'ready'}
local thread_number = 0
local fields = {'number', number, 'tenant', tenant, 'agent', agent, 'priority', ARGV[10], 'base_rank', rank,
    'state', 'queued', 'created_at', now}

-- Priority inheritance: those ahead in the thread wait no longer than this one would. Ranks never fall along a thread,
-- so the walk from the end stops at the first one that needs no lifting, or at a delayed head, which has no rank.
local function lift(queue)
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
    end
    if changed then rerank_head(queue) end
end

if thread ~= '' then
    local key, queue = thread_key(tenant, thread), thread_queue_key(tenant, thread)
    thread_number = redis.call('HINCRBY', key, 'last_number', 1)
    if thread_number == 1 then redis.call('HSET', key, 'created_at', now) end
    redis.call('HSET', key, 'preview', ARGV[12])
    local running = tonumber(redis.call('HGET', key, 'processing') or 0)
    if running > 0 or redis.call('ZCARD', queue) > 0 then message.place = 'behind' end
    redis.call('HINCRBY', key, 'queued', 1)
    redis.call('ZADD', of_tenant('threads', tenant), 'GT', now, thread)
    redis.call('ZREM', EMPTY, scope(tenant, thread))
    lift(queue)
    redis.call('ZADD', queue, thread_number, member)
    redis.call('ZADD', thread_messages_key(tenant, thread), thread_number, id)
    for _, field in ipairs({'thread', thread, 'thread_number', thread_number}) do fields[#fields + 1] = field end
end
redis.call('HSET', message_key(id), 'place', message.place, unpack(fields))
redis.call('SET', content_key(id), ARGV[9])
wait(message, rank)
return remember({tonumber(number), thread_number, now, redis.call('ZRANK', WAITING, member),
    message.place == 'ready' and 1 or 0})
