-- Precedes every script that writes.
-- KEYS[1] the mark of the conversation's newest attempt: a hash of queue, message and fence
-- ARGV[1..3] queue, message and fence of the attempt that writes; '' as message for a write outside of attempts
-- ARGV[4] '1' if the attempt has stored its mark before

-- Return whether a later attempt of the same queue has the mark, or whether the attempt's own mark was deleted.
-- Otherwise take the right to write.
local function is_late()
    if ARGV[2] == '' then
        return false
    end
    local queue, message, fence = unpack(redis.call('HMGET', KEYS[1], 'queue', 'message', 'fence'))
    if queue == ARGV[1] then
        local ahead = tonumber(message) - tonumber(ARGV[2])
        if ahead == 0 then
            ahead = tonumber(fence) - tonumber(ARGV[3])
        end
        if ahead >= 0 then
            return ahead > 0
        end
    end
    if ARGV[4] == '1' then
        return true
    end
    redis.call('HSET', KEYS[1], 'queue', ARGV[1], 'message', ARGV[2], 'fence', ARGV[3])
    return false
end
