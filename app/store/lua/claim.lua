-- Takes ready messages of some agents, lowest rank first; none while the queue is paused.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] turn, ARGV[2] operation, ARGV[3] time or '', ARGV[4] worker, ARGV[5] how many, ARGV[6] lease in milliseconds,
-- ARGV[7] template of the event (\1A attempt), ARGV[8...] agents, each once
-- Returns the rows of what was taken.
-- include: keys
-- include: once
-- include: time
-- include: messages
-- include: rows

local limit = tonumber(ARGV[5])

local function find()
    local found = {}
    for i = 8, #ARGV do
        local ready = redis.call('ZRANGE', ready_key(ARGV[i]), 0, limit - 1, 'WITHSCORES')
        for j = 1, #ready, 2 do
            found[#found + 1] = {member = ready[j], rank = tonumber(ready[j + 1]), number = tonumber(ready[j]:sub(1, 16))}
        end
    end
    table.sort(found, function(a, b) return a.rank < b.rank or (a.rank == b.rank and a.number < b.number) end)
    return found
end

local function take(message, now, microseconds)
    leave_queue(message)
    local key = message_key(message.id)
    local attempt = redis.call('HINCRBY', key, 'attempt', 1)
    local fence = above(message.fence, microseconds)
    redis.call('HDEL', key, 'place')
    redis.call('HSETNX', key, 'started_at', now)
    local begun = message.dropped + redis.call('RPUSH', log_key(message.id), fill(ARGV[7], {A = attempt}))
    redis.call('HSET', key, 'state', 'processing', 'fence', fence, 'worker', ARGV[4], 'begun', begun)
    redis.call('ZADD', LEASES, now + tonumber(ARGV[6]), message.member)
    redis.call('ZADD', of_tenant('processing', message.tenant), now, message.member)
    if message.thread then redis.call('HSET', thread_key(message.tenant, message.thread), 'head', message.id) end
    recount(message, 'queued', 'processing', now)
    return {message.id, fence}
end

local taken = recalled
if not taken then
    taken = {}
    local now, microseconds = clock(ARGV[3])
    local found = limit > 0 and redis.call('EXISTS', PAUSED) == 0 and find() or {}
    for i = 1, math.min(limit, #found) do
        taken[i] = take(load(id_of(found[i].member)), now, microseconds)
    end
    if #taken > 0 then remember(taken) end
end
local rows = {}
for _, claimed in ipairs(taken) do
    -- Not what was lost between the claim and its repetition: the fence may be another worker's by now.
    if leased(claimed[1], claimed[2]) then rows[#rows + 1] = row(claimed[1]) end
end
return rows
