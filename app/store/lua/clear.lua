-- Cancel the last waiting messages of a long thread, before `add.lua` adds messages that cancel the rest.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] maximum of queued messages, ARGV[3] count of messages to be added, ARGV[4] tenant of the request's
-- key, ARGV[5] that key or '', ARGV[6] its fingerprint, ARGV[7] its lifetime in milliseconds, ARGV[8] template of the event
-- `cancelled` (\1T time), ARGV[9] limit, ARGV[10] aliases of these messages, as a JSON array of [tenant, alias, id], or '',
-- ARGV[11] maximum of queued messages of the tenant, or '' for no limit, ARGV[12] a JSON array of [tenant, thread, subject] of
-- messages that have a subject, ARGV[13] agents whose messages may be cancelled, as a JSON array, or '' for all, then tenant and
-- id of each thread
-- Returns tenant and id of a thread, and thread number and id of each cancelled message. Returns nothing if no thread is
-- long, or if the messages will not be stored.
-- include: keys
-- include: queue
-- include: time
-- include: messages
-- include: endings
-- include: cancels
-- include: requests
-- include: aliases
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local now, microseconds = clock(ARGV[1])
    if ARGV[5] ~= '' and recall_request(request_key(ARGV[4], ARGV[5]), ARGV[6], now - tonumber(ARGV[7])) then return {} end
    local queued = redis.call('ZCARD', WAITING) + redis.call('ZCARD', DELAYED)
    if queued + tonumber(ARGV[3]) > tonumber(ARGV[2]) then return {} end
    for _, each in ipairs(ARGV[10] ~= '' and cjson.decode(ARGV[10]) or {}) do
        if is_taken(each[1], each[2], each[3]) then return {} end
    end
    if ARGV[11] ~= '' and #ARGV > 13 then
        local of_it = redis.call('ZCARD', of_tenant('waiting', ARGV[14])) + redis.call('ZCARD', of_tenant('delayed', ARGV[14]))
        if of_it + tonumber(ARGV[3]) > tonumber(ARGV[11]) then return {} end
    end
    for _, each in ipairs(cjson.decode(ARGV[12])) do
        local f = redis.call('HMGET', thread_key(each[1], each[2]), 'created_at', 'subject')
        if f[1] and f[2] ~= each[3] then return {} end
    end
    local most = tonumber(ARGV[9])
    for i = 14, #ARGV, 2 do
        if any_of_others(ARGV[i], ARGV[i + 1], ARGV[13]) then return {} end
        local queue = thread_queue_key(ARGV[i], ARGV[i + 1])
        if redis.call('ZCARD', queue) >= 2 * most then
            local tail = redis.call('ZREVRANGE', queue, 0, most - 1, 'WITHSCORES')
            local cleared, ids = {}, {}
            for j = 1, #tail, 2 do
                local message = load(id_of(tail[j]))
                cancel(message, now, microseconds, ARGV[8])
                cleared[#cleared + 1] = {tonumber(tail[j + 1]), message.id}
                ids[#ids + 1] = message.id
            end
            record_targets(ids)
            return remember({ARGV[i], ARGV[i + 1], cleared})
        end
    end
    return {}
end

return each(run)
