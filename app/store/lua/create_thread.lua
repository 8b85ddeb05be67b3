-- Make a thread without messages.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] thread, ARGV[4] its source as JSON or '', ARGV[5] its name or '', ARGV[6] its metadata
-- or '', ARGV[7] its subject or '', ARGV[8] its TTL in milliseconds or '', ARGV[9] 1 to keep a thread that exists, ARGV[10]
-- tenant of the request's key, ARGV[11] that key or '', ARGV[12] its fingerprint, ARGV[13] its lifetime in milliseconds
-- Returns its row, whether it is new, and whether an earlier request was replayed. Returns 'taken' or 'hidden' for an id in
-- use, 'reused' for a key of another request, false if the thread of the earlier request was deleted, 'erasing' and the kind of an
-- erasure that covers the thread.
-- include: keys
-- include: time
-- include: threads
-- include: requests
-- include: erasures
-- include: once

local function run(ARGV)
    local tenant, thread = ARGV[2], ARGV[3]
    local function answer(id, is_new, replayed)
        local columns = thread_row(tenant, id)
        return columns and {columns, is_new, replayed} or false
    end

    if recalled then return answer(thread, recalled, 0) end
    local now = time(ARGV[1])
    local request = ARGV[11] ~= '' and request_key(ARGV[10], ARGV[11])
    local earlier = request and recall_request(request, ARGV[12], now - tonumber(ARGV[13]))
    if earlier == 'reused' then return earlier end
    if earlier then return answer(earlier[1], earlier[2], 1) end
    local kind = erasing_kind(tenant, ARGV[7] ~= '' and ARGV[7], thread)
    if kind then return {'erasing', kind} end
    if redis.call('HEXISTS', HIDDEN, scope(tenant, thread)) == 1 then return 'hidden' end
    local exists = redis.call('EXISTS', thread_key(tenant, thread)) == 1
    if exists and ARGV[9] ~= '1' then return 'taken' end
    local is_new = exists and 0 or 1
    if not exists then make_thread(tenant, thread, ARGV[1], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]) end
    if request then keep_request(request, ARGV[12], now, {thread, is_new}) end
    remember(is_new)
    return answer(thread, is_new, 0)
end

return each(run)
