-- Run the operations of one call, all of one script. Each operation succeeds or fails independently of the others. It is
-- done only once, even if its reply was lost and the call is sent again.
-- KEYS[2] has the replies to one process in its present turn. ARGV[1] is the number of the turn, ARGV[2] the number of the
-- call in the turn. Then follow, for each operation, the count of its arguments and its arguments, the ARGV of `run`. If the
-- count is negative, one more argument follows: the record of the operation in the audit log, as JSON.
-- A process sends a turn after it got the replies of the previous turn, or gave up on them. A call of an older turn is late.
local known = redis.call('HMGET', KEYS[2], 'turn', ARGV[2])
local new_turn = tonumber(ARGV[1]) > tonumber(known[1] or 0)
if not new_turn and tonumber(ARGV[1]) < tonumber(known[1]) then
    return redis.error_reply('STALE the process has given up on this operation')
end
local audit
local answers, place, recalled, changed = not new_turn and known[2] and cmsgpack.unpack(known[2]) or {}, 0, nil, false

-- Say that the operation changes nothing, and adds no record to the audit log.
local function unrecorded() audit = nil end

-- Give the record of the operation its targets. Without any, the operation adds no record.
local function record_targets(ids)
    if not audit then return end
    if #ids == 0 then return unrecorded() end
    local record = cjson.decode(audit)
    record.targets = ids
    audit = cjson.encode(record)
end

local function remember(answer)
    answers[place], changed = answer, true
    if audit then redis.call('XADD', AUDIT, string.format('%.0f-0', redis.call('XLEN', AUDIT) + 1), 'record', audit) end
    return answer
end

local function keep_answers()
    if new_turn then redis.call('DEL', KEYS[2]) end
    redis.call('HSET', KEYS[2], 'turn', ARGV[1], ARGV[2], cmsgpack.pack(answers))
    if new_turn then redis.call('EXPIRE', KEYS[2], 86400) end
end

-- Call `run` for each operation, with its remembered reply in `recalled`. Then call `complete`, if given, which may add
-- to the replies. Return them.
local function each(run, complete)
    local replies, at, last = {}, 3, #ARGV
    while at <= last do
        local count = tonumber(ARGV[at])
        audit = nil
        if count < 0 then
            count = -count
            audit = ARGV[at + count + 1]
        end
        local arguments = {unpack(ARGV, at + 1, at + math.min(count, 1000))}
        for i = 1001, count do arguments[i] = ARGV[at + i] end
        at, place = at + count + (audit and 2 or 1), place + 1
        recalled = answers[place]
        local done, reply = pcall(run, arguments)
        if not done and type(reply) ~= 'table' then reply = redis.error_reply('ERR ' .. tostring(reply)) end
        replies[place] = reply or false
    end
    if complete then complete() end
    keep_changes()
    if changed then keep_answers() end
    return replies
end
