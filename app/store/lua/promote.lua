-- Make the delayed messages ready that are due.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] limit, ARGV[3] order (`turns.lua`), ARGV[4...] each priority and its rank at time 0
-- Returns the count.
-- include: keys
-- include: time
-- include: messages
-- include: turns
-- include: once

-- A message that was not ready before takes its turn now.
local function take_first_turn(message, order, first)
    local key = message_key(message.id)
    local f = redis.call('HMGET', key, 'unplaced', 'subject')
    if not f[1] then return end
    local flow = flow_name(order, f[2])
    if order == 'tenant' or order == 'subject' then message.base_rank = take_turn(order, message.tenant, flow, first) end
    redis.call('HDEL', key, 'unplaced')
    redis.call('HSET', key, 'base_rank', message.base_rank)
    if flow ~= '' then redis.call('HSET', key, 'flow', flow) end
    join_flow(message, flow, message.base_rank)
end

local function run(ARGV)
    if recalled then return recalled end
    local due = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', time(ARGV[1]), 'LIMIT', 0, ARGV[2])
    local ranks = {}
    for i = 4, #ARGV, 2 do ranks[ARGV[i]] = tonumber(ARGV[i + 1]) end
    forget_turns()
    for _, member in ipairs(due) do
        local message = load(id_of(member))
        leave_waiting(message)
        take_first_turn(message, ARGV[3], ranks[message.priority])
        ready_as_head(message, 1)
    end
    return #due == 0 and 0 or remember(#due)
end

local replies = each(run)
drop_outdated_turns()
return replies
