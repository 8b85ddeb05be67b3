-- Each operation is done once, also when its answer was lost and it is sent again. KEYS[2] is the memory of one process:
-- the replies of its present turn. ARGV[1] is the number of the turn, ARGV[2] that of the operation in it. A turn is
-- sent after the one before was answered or given up; what arrives from an older one came too late.
local known = redis.call('HMGET', KEYS[2], 'turn', ARGV[2])
local new_turn = tonumber(ARGV[1]) > tonumber(known[1] or 0)
if not new_turn and tonumber(ARGV[1]) < tonumber(known[1]) then
    return redis.error_reply('STALE the process has given up on this operation')
end
local recalled = not new_turn and known[2] and cmsgpack.unpack(known[2])

local function remember(reply)
    if new_turn then
        redis.call('DEL', KEYS[2])
        redis.call('HSET', KEYS[2], 'turn', ARGV[1], ARGV[2], cmsgpack.pack(reply))
        redis.call('EXPIRE', KEYS[2], 600)
    else
        redis.call('HSET', KEYS[2], ARGV[2], cmsgpack.pack(reply))
    end
    return reply
end
