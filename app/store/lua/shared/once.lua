-- A call has many operations of one script: callers whose requests came together. Each of them is as if it were alone: it
-- is done or refused whatever becomes of the others, and each is done once, also when the answer was lost and the call is
-- sent again.
-- KEYS[2] is the memory of one process: what it was answered in its present turn. ARGV[1] is the number of the turn,
-- ARGV[2] that of the call in it, then come of each operation the number of its arguments and these, which are the ARGV
-- of `run`. A turn is sent after the one before was answered or given up; what arrives from an older one came too late.
local known = redis.call('HMGET', KEYS[2], 'turn', ARGV[2])
local new_turn = tonumber(ARGV[1]) > tonumber(known[1] or 0)
if not new_turn and tonumber(ARGV[1]) < tonumber(known[1]) then
    return redis.error_reply('STALE the process has given up on this operation')
end
local answers, place, recalled, changed = not new_turn and known[2] and cmsgpack.unpack(known[2]) or {}, 0, nil, false

local function remember(answer)
    answers[place], changed = answer, true
    return answer
end

local function keep_answers()
    if new_turn then redis.call('DEL', KEYS[2]) end
    redis.call('HSET', KEYS[2], 'turn', ARGV[1], ARGV[2], cmsgpack.pack(answers))
    if new_turn then redis.call('EXPIRE', KEYS[2], 86400) end
end

-- Has `run` do each operation, where `recalled` is what was remembered of it before; after all of them `complete`, if
-- there is one, may add to what they gave back. Returns the reply of each.
local function each(run, complete)
    local replies, at, last = {}, 3, #ARGV
    while at <= last do
        local count = tonumber(ARGV[at])
        local arguments = {unpack(ARGV, at + 1, at + math.min(count, 1000))}
        for i = 1001, count do arguments[i] = ARGV[at + i] end
        at, place = at + count + 1, place + 1
        recalled = answers[place]
        local done, reply = pcall(run, arguments)
        if not done and type(reply) ~= 'table' then reply = redis.error_reply('ERR ' .. tostring(reply)) end
        replies[place] = reply or false
    end
    if complete then complete() end
    if changed then keep_answers() end
    return replies
end
