-- Cancels a queued message; the next of its thread takes its place.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] turn, ARGV[2] operation, ARGV[3] time or '', ARGV[4] tenant, ARGV[5] id, ARGV[6] template of the event (\1T time)
-- Returns its row; its state when it is not queued; false when the tenant has no such message.
-- include: keys
-- include: once
-- include: time
-- include: messages
-- include: rows

if recalled then return row(ARGV[5]) end
local message = load(ARGV[5])
if not message or message.tenant ~= ARGV[4] then return false end
if message.state ~= 'queued' then return message.state end

-- Those ahead may have inherited from it: their ranks anew, until one stays as it is or is the delayed head.
local function settle_ahead()
    local queue = thread_queue_key(message.tenant, message.thread)
    local place = redis.call('ZRANK', queue, message.member)
    local behind = redis.call('ZRANGE', queue, place + 1, place + 1)[1]
    local inherited = behind and rank_of(behind) or math.huge
    local step, changed = 1, false
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
        rerank(message.tenant, settled)
        place, step, changed = first, 500, changed or #settled > 0
        if #settled < 2 * #ahead then break end
    end
    if changed then rerank_head(queue) end
end

local now, microseconds = clock(ARGV[3])
if message.place == 'behind' then settle_ahead() end
redis.call('HSET', message_key(message.id), 'fence', above(message.fence, microseconds))
finish(message, 'cancelled', now, fill(ARGV[6], {T = rfc3339(now)}))
if message.place ~= 'behind' then promote_next(message) end
remember(true)
return row(message.id)
