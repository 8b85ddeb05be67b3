-- Answers what an interrupted message asks: it is queued again, as the head of its thread.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] turn, ARGV[2] operation, ARGV[3] time or '', ARGV[4] tenant, ARGV[5] id, ARGV[6] fence, ARGV[7] the answer,
-- ARGV[8] template of the event (\1D first event to drop), ARGV[9] tenant of the request's key, ARGV[10] that key or '',
-- ARGV[11] its fingerprint, ARGV[12] for how many milliseconds it holds
-- Returns its row, its position, and whether an earlier request was answered; its state when it does not ask that;
-- 'reused' for a key of another request; false when the tenant has no such message.
-- include: keys
-- include: once
-- include: time
-- include: messages
-- include: rows
-- include: requests

local id = ARGV[5]
local function answer(replayed)
    local columns = row(id)
    return {columns, replayed == 0 and position(columns), replayed}
end

if recalled then return answer(0) end
local now = time(ARGV[3])
local message = load_of(ARGV[4], id)
local request = ARGV[10] ~= '' and request_key(ARGV[9], ARGV[10])
local earlier = request and recall_request(request, ARGV[11], now - tonumber(ARGV[12]))
if earlier == 'reused' then return earlier end
if not message then return false end
if earlier then return answer(1) end
if message.state ~= 'interrupted' or message.fence ~= tonumber(ARGV[6]) then return message.state end

leave_question(message)
redis.call('HSET', message_key(id), 'state', 'queued', 'resume_value', ARGV[7])
redis.call('HDEL', message_key(id), 'interrupt_expires_at', 'run_at')
rejoin(message, now, 0, fill(ARGV[8], {D = message.begun}))
if request then keep_request(request, ARGV[11], now, {}) end
remember(1)
return answer(0)
