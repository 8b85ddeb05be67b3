-- Answer an interrupted message and queue it again, as the head of its thread. The attempt that asked is not counted.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] id, ARGV[4] fence, ARGV[5] the answer, ARGV[6] template of the event
-- (\1D first event to drop), ARGV[7] tenant of the request's key, ARGV[8] that key or '', ARGV[9] its fingerprint,
-- ARGV[10] its lifetime in milliseconds, ARGV[11] alias or ''
-- Returns its row, its position, and whether an earlier request was replayed. Returns its state if it does not ask this
-- question, 'reused' for a key of another request, 'taken' for an alias of another message, or false if the tenant has no
-- such message.
-- include: keys
-- include: time
-- include: messages
-- include: rows
-- include: requests
-- include: aliases
-- include: once

local function run(ARGV)
    local id = ARGV[3]
    local function answer(replayed)
        local columns = row(id)
        return {columns, replayed == 0 and position(columns), replayed}
    end

    if recalled then return answer(0) end
    local now = time(ARGV[1])
    local message = load_of(ARGV[2], id)
    local request = ARGV[8] ~= '' and request_key(ARGV[7], ARGV[8])
    local earlier = request and recall_request(request, ARGV[9], now - tonumber(ARGV[10]))
    if earlier == 'reused' then return earlier end
    if not message then return false end
    if earlier then return answer(1) end
    if message.state ~= 'interrupted' or message.fence ~= tonumber(ARGV[4]) then return message.state end
    local alias = ARGV[11] ~= '' and ARGV[11]
    if alias and is_taken(ARGV[2], alias, id) then return 'taken' end

    leave_interrupted(message)
    redis.call('HSET', message_key(id), 'state', 'queued', 'resume_value', ARGV[5], 'attempt', math.max(0, message.attempt - 1))
    redis.call('HDEL', message_key(id), 'interrupt_expires_at', 'run_at')
    rejoin(message, now, 0, fill(ARGV[6], {N = now, D = message.begun}))
    record('resumed', message, now)
    if alias then keep_aliases(ARGV[2], id, {alias}, message.dropped + redis.call('LLEN', log_key(id))) end
    if request then keep_request(request, ARGV[9], now, {}) end
    remember(1)
    return answer(0)
end

return each(run)
