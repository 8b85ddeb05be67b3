-- Store messages as queued, each at the end of its thread; all of them or none.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] maximum of queued messages, ARGV[3] tenant of the request's key, ARGV[4] that key or '',
-- ARGV[5] its fingerprint, ARGV[6] its lifetime in milliseconds, ARGV[7] template of the event `cancelled` (\1T time) or '',
-- ARGV[8] ids that `clear.lua` has cancelled, as a JSON array of [tenant, thread, ids], or '', ARGV[9] maximum of queued
-- messages of the tenant, or '' for no limit, ARGV[10] agents whose messages may be cancelled, as a JSON array, or '' for
-- all, ARGV[11] limits (`limits.lua`) or '', ARGV[12] order (`turns.lua`), then for each message: id,
-- tenant, thread or '', agent, content, priority, rank at time 0, preview, options or '', `run_at` or '', delay in
-- milliseconds or '', `if_busy`, webhook URL or '', webhook events as JSON or '', an object of its rarer fields as JSON or ''
-- (`metadata` as stored, for the thread `name` and `patch`, see `app.store.metadata`, `aliases`, `rollback`, `last_number`,
-- `webhook_key`, `subject` and `behind_question`), id of the API key or '', trace or ''
-- Returns whether an earlier request was replayed, the receipts (`app.store.rows.Receipt`), whether a message is ready,
-- ids of cancelled messages, ids of running messages marked as cancelled, threads left to settle, what is left of the limits
-- (`app.models.limits.Counted.rests`). Returns 'reused' for a
-- key of another request, 'gone' if a message of the earlier request was deleted, 'full' or 'full of tenant', 'foreign', 'busy',
-- 'asks', 'moved' or 'hidden' and the thread, 'taken' and the alias, or 'limited', the index of the limit and its value,
-- or 'erasing' and the kind of a running erasure's target.
-- include: keys
-- include: queue
-- include: time
-- include: messages
-- include: endings
-- include: ranks
-- include: turns
-- include: accepting
-- include: cancels
-- include: requests
-- include: aliases
-- include: erasures
-- include: limits
-- include: once

local FIRST, WIDTH, NOTHING = 13, 17, {}

-- State of the previous operation: the number of the newest message, and the count of queued messages. The count is nil
-- after an operation that failed or cancelled messages.
local stored_number = redis.call('GET', prefix .. 'number')
local number, known_queued = stored_number, nil
local any_hidden, any_erasing = redis.call('EXISTS', HIDDEN) == 1, redis.call('EXISTS', ERASING) == 1
local owners = {} -- subjects of the operation's threads by scope, false for none

-- One command adds all ready messages without a thread to a sorted set: rank, member, rank, member... (number and id in
-- `messages`). Call `add_waiting` before the sets are read for a length or a position.
local waiting, waiting_of, messages_of, ready_of, flows = {}, {}, {}, {}, {}
local unplaced = {} -- lists of receipts without a position, each followed by its member, by key of the flow

local function put(list, score, member)
    list[#list + 1] = score
    list[#list + 1] = member
    return list
end

local function wait_in_batch(message, key, rank)
    local tenant, agent, member = message.tenant, message.agent, message.member
    flows[key] = put(flows[key] or {}, rank, member)
    put(waiting, rank, member)
    waiting_of[tenant] = put(waiting_of[tenant] or {}, rank, member)
    messages_of[tenant] = put(messages_of[tenant] or {}, message.number, message.id)
    ready_of[agent] = put(ready_of[agent] or {}, rank, member)
end

local function add_to(key, list)
    for first = 1, #list, 1000 do redis.call('ZADD', key, unpack(list, first, math.min(first + 999, #list))) end
end

local function add_waiting()
    if #waiting == 0 then return end
    add_to(WAITING, waiting)
    for tenant, list in pairs(waiting_of) do add_to(of_tenant('waiting', tenant), list) end
    for tenant, list in pairs(messages_of) do add_to(of_tenant('messages', tenant), list) end
    for agent, list in pairs(ready_of) do add_to(ready_key(agent), list) end
    for key, list in pairs(flows) do add_to(key, list) end
    waiting, waiting_of, messages_of, ready_of, flows = {}, {}, {}, {}, {}
end

-- Give receipts their positions. If as many places are between the first and the last message of a list as between their
-- positions, no other message is between them, and two positions tell all.
local function place_all(list)
    local count = #list / 2
    local first = redis.call('ZRANK', WAITING, list[2])
    list[1][7] = first
    local last = count > 1 and redis.call('ZRANK', WAITING, list[2 * count])
    local dense = first and last and list.ordered and last - first == count - 1
    for i = 2, count do
        list[2 * i - 1][7] = dense and first + i - 1 or not dense and redis.call('ZRANK', WAITING, list[2 * i])
    end
end

local function place_receipts()
    add_waiting()
    for _, list in pairs(unplaced) do place_all(list) end
    unplaced = {}
end

-- `key` is that of the flow, or '' for messages of threads and delayed ones, which may have any place.
local function place_later(receipt, member, key, rank)
    local list = unplaced[key]
    if not list then
        list = {ordered = key ~= '', rank = rank}
        unplaced[key] = list
    end
    if rank < list.rank then list.ordered = false end
    list.rank = rank
    put(list, receipt, member)
end

local function count_queued()
    if known_queued then return known_queued end
    add_waiting()
    return redis.call('ZCARD', WAITING) + redis.call('ZCARD', DELAYED)
end

local function queued_of(tenant)
    add_waiting()
    return redis.call('ZCARD', of_tenant('waiting', tenant)) + redis.call('ZCARD', of_tenant('delayed', tenant))
end

local function rarer_fields(ARGV, i) return ARGV[i + 14] ~= '' and cjson.decode(ARGV[i + 14]) or NOTHING end

-- Check all messages before anything is written. Return the refusal, or false and the count of queued messages after it.
local function refusal(ARGV)
    local queued = count_queued()
    local ids, added, named = {}, {}, {}
    owners = {}
    for i = FIRST, #ARGV, WIDTH do
        local id, tenant, thread, if_busy = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 11]
        if ids[id] or redis.call('EXISTS', message_key(id)) == 1 then
            return redis.error_reply('ERR this message id is taken')
        end
        ids[id], queued = true, queued + 1
        if any_erasing then
            local owner = thread ~= '' and redis.call('HGET', thread_key(tenant, thread), 'subject')
            local kind = erasing_kind(tenant, rarer_fields(ARGV, i).subject or owner, thread)
            if kind then return {'erasing', kind} end
        end
        if thread ~= '' then
            local name, subject = scope(tenant, thread), rarer_fields(ARGV, i).subject
            if owners[name] == nil then
                local f = redis.call('HMGET', thread_key(tenant, thread), 'created_at', 'subject')
                owners[name] = f[1] and f[2] or not f[1] and subject or false
            end
            if subject and subject ~= owners[name] then return {'foreign', thread} end
            if any_hidden and redis.call('HEXISTS', HIDDEN, name) == 1 then return {'hidden', thread} end
            if if_busy == 'reject' and (added[name] or refuses(tenant, thread)) then return {'busy', thread} end
            if rarer_fields(ARGV, i).behind_question == false and asks(tenant, thread) then return {'asks', thread} end
            if if_busy ~= 'enqueue' and any_of_others(tenant, thread, ARGV[10]) then return {'busy', thread} end
            local last = if_busy ~= 'enqueue' and rarer_fields(ARGV, i).last_number
            if last and last ~= tonumber(redis.call('HGET', thread_key(tenant, thread), 'last_number') or 0) then
                return {'moved', thread}
            end
            added[name] = true
        end
        for _, alias in ipairs(rarer_fields(ARGV, i).aliases or NOTHING) do
            local name = scope(tenant, alias)
            if is_taken(tenant, alias, id) or named[name] and named[name] ~= id then return {'taken', alias} end
            named[name] = id
        end
    end
    if queued > tonumber(ARGV[2]) then return 'full' end
    local count = (#ARGV - FIRST + 1) / WIDTH
    if ARGV[9] ~= '' and queued_of(ARGV[FIRST + 1]) + count > tonumber(ARGV[9]) then return 'full of tenant' end
    return false, queued
end

-- Cancel the unfinished messages of a thread, the last one first, so that no message becomes ready meanwhile. Return their
-- ids, oldest first. `changed_ids` gets those that were not cancelled before.
local function cancel_unfinished(tenant, thread, now, microseconds, template, cancelled, to_cancel, changed_ids)
    local ids = unfinished_of(tenant, thread)
    if #ids > 0 then
        add_waiting()
        forget_turns()
    end
    for i = #ids, 1, -1 do
        local message = load(ids[i])
        local ids_of_kind = message.state == 'processing' and to_cancel or cancelled
        ids_of_kind[#ids_of_kind + 1] = message.id
        if not message.cancelled then table.insert(changed_ids, 1, message.id) end
        cancel(message, now, microseconds, template)
    end
    return ids
end

-- Return the ids of two lists, each once. `first` may be nil.
local function union(first, second)
    if not first then return second end
    local ids, known = {}, {}
    for _, list in ipairs({first, second}) do
        for _, id in ipairs(list) do
            if not known[id] then ids[#ids + 1] = id end
            known[id] = true
        end
    end
    return ids
end

-- Return the ids that `clear.lua` has cancelled, by thread.
local function cleared_of(text)
    if text == '' then return NOTHING end
    local cleared = {}
    for _, each in ipairs(cjson.decode(text)) do cleared[scope(each[1], each[2])] = each[3] end
    return cleared
end

-- Set the name of a thread, and merge a patch into its metadata unless these become too long (THREAD_METADATA_LENGTH).
local function describe(tenant, thread, name, patch)
    local key = thread_key(tenant, thread)
    if name then redis.call('HSET', key, 'name', name) end
    if not patch then return end
    local stored = redis.call('HGET', key, 'metadata')
    local merged = stored and cjson.decode(stored) or {}
    for name_of_value, text in pairs(patch) do merged[name_of_value] = text ~= cjson.null and text or nil end
    local text = cjson.encode(merged)
    if #text <= 65536 then redis.call('HSET', key, 'metadata', text) end
end

-- Store the message whose fields begin at `i`. Return its receipt, without the position.
local function store(ARGV, i, number, now, rolled_back)
    local id, thread, run_at = ARGV[i], ARGV[i + 2] ~= '' and ARGV[i + 2], tonumber(ARGV[i + 9] ~= '' and ARGV[i + 9] or 0)
    if ARGV[i + 10] ~= '' then run_at = now + tonumber(ARGV[i + 10]) end
    local message = {id = id, number = number, member = member_of(number, id), tenant = ARGV[i + 1], thread = thread,
        agent = ARGV[i + 3], run_at = run_at, thread_number = 0, readiness = 'ready'}
    local first = tonumber(ARGV[i + 6])
    local rank = first + accepted_at(number, now)
    local alone = not thread and run_at <= now
    local rarer = rarer_fields(ARGV, i)
    local subject = rarer.subject
    if thread then subject = owners[scope(message.tenant, thread)] or nil end
    local flow = flow_name(ARGV[12], subject)
    -- A delayed message takes its turn at `run_at`.
    local is_delayed = run_at > now and not (thread and is_busy(message.tenant, thread))
    if not is_delayed then rank = take_turn(ARGV[12], message.tenant, flow, first, rank) end
    if not alone then enqueue(message, rank, now, ARGV[i + 7]) end
    if thread and subject and message.thread_number == 1 then redis.call('HSET', thread_key(message.tenant, thread), 'subject', subject) end
    if thread and rarer ~= NOTHING then describe(message.tenant, thread, rarer.name, rarer.patch) end
    local more = NOTHING
    if thread or ARGV[i + 8] ~= '' or run_at ~= 0 or #rolled_back > 0 or ARGV[i + 12] ~= '' or rarer ~= NOTHING or subject
        or ARGV[i + 15] ~= '' or ARGV[i + 16] ~= '' then
        more = {}
        if thread then
            put(more, 'thread_id', thread)
            put(more, 'thread_number', message.thread_number)
        end
        if ARGV[i + 8] ~= '' then put(more, 'options', ARGV[i + 8]) end
        if run_at ~= 0 then put(more, 'run_at', run_at) end
        if is_delayed then put(more, 'unplaced', '1') end
        if flow ~= '' and not is_delayed then put(more, 'flow', flow) end
        if #rolled_back > 0 then put(more, 'rollback', cjson.encode(rolled_back)) end
        if ARGV[i + 12] ~= '' then put(more, 'webhook_url', ARGV[i + 12]) end
        if ARGV[i + 13] ~= '' then put(more, 'webhook_events', ARGV[i + 13]) end
        if rarer.webhook_key then put(more, 'webhook_key', rarer.webhook_key) end
        if rarer.receivers then put(more, 'receivers', rarer.receivers) end
        if rarer.metadata then put(more, 'metadata', rarer.metadata) end
        if subject then put(more, 'subject', subject) end
        if ARGV[i + 15] ~= '' then put(more, 'key_id', ARGV[i + 15]) end
        if ARGV[i + 16] ~= '' then put(more, 'trace', ARGV[i + 16]) end
    end
    redis.call('HSET', message_key(id), 'number', number, 'tenant', message.tenant, 'agent', message.agent,
        'priority', ARGV[i + 5], 'base_rank', rank, 'state', 'queued', 'created_at', now, 'readiness', message.readiness,
        unpack(more))
    redis.call('SET', content_key(id), ARGV[i + 4])
    message.priority = ARGV[i + 5]
    record('accepted', message, now)
    if rarer.aliases then keep_aliases(message.tenant, id, rarer.aliases, 0) end
    local key = alone and flow_key(message.tenant, flow, rank) or ''
    if not alone and not is_delayed then join_flow(message, flow, rank) end
    if alone then wait_in_batch(message, key, rank) end -- last, since the server may refuse to store for lack of memory
    local receipt = {id, tonumber(number), message.thread_number, now, message.readiness, run_at, false, rolled_back,
        subject or false}
    place_later(receipt, message.member, key, rank)
    return receipt
end

local function run(ARGV)
    if recalled then return recalled end
    local now, microseconds = clock(ARGV[1])
    local request = ARGV[4] ~= '' and request_key(ARGV[3], ARGV[4])
    local earlier = request and recall_request(request, ARGV[5], now - tonumber(ARGV[6]))
    if earlier == 'reused' then return earlier end
    for _, receipt in ipairs(earlier or NOTHING) do
        if redis.call('EXISTS', deleted_key(receipt[1])) == 1 then return 'gone' end
    end
    if earlier then return {1, earlier, 0, {}, {}, {}, {}} end
    local refused, queued = refusal(ARGV)
    if refused then return refused end
    local limited, counted = count_limits(ARGV[11], now)
    if limited then return {'limited', limited, counted} end

    known_queued, unsettled = nil, {}
    local receipts = {}
    local any_ready, cancelled, to_cancel, changed_ids, cleared = 0, {}, {}, {}, cleared_of(ARGV[8])
    for i = FIRST, #ARGV, WIDTH do
        local thread, if_busy, rolled_back = ARGV[i + 2], ARGV[i + 11], NOTHING
        number = above(number, microseconds)
        if thread ~= '' and (if_busy == 'interrupt' or if_busy == 'rollback' or if_busy == 'reject') then
            if if_busy ~= 'reject' then queued = nil end -- `reject` cancels at most a question, which is not queued
            rolled_back = cancel_unfinished(ARGV[i + 1], thread, now, microseconds, ARGV[7], cancelled, to_cancel, changed_ids)
            local name = scope(ARGV[i + 1], thread)
            for _, id in ipairs(cleared[name] or NOTHING) do rolled_back[#rolled_back + 1] = id end
            cleared[name] = nil
            if if_busy ~= 'rollback' then rolled_back = NOTHING end
            rolled_back = union(rarer_fields(ARGV, i).rollback, rolled_back)
        end
        local receipt = store(ARGV, i, number, now, rolled_back)
        if receipt[5] == 'ready' then any_ready = 1 end
        receipts[#receipts + 1] = receipt
    end
    known_queued = queued
    keep_counted(ARGV[11], counted, now)
    if request then
        place_receipts()
        keep_request(request, ARGV[5], now, receipts)
    end
    record_targets(changed_ids)
    return remember({0, receipts, any_ready, cancelled, to_cancel, unsettled, rests_of(ARGV[11], counted, now)})
end

local replies = each(run, place_receipts)
if number ~= stored_number then redis.call('SET', prefix .. 'number', number) end
write_counted()
drop_outdated_turns()
return replies
