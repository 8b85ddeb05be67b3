-- Remember when the first piece of an answer came, if the events from ARGV[first] on have one.
local function note_first_chunk(ARGV, id, first)
    for i = first, #ARGV do
        if string.sub(ARGV[i], 1, 6) == 'chunk ' then
            redis.call('HSET', message_key(id), 'first_chunk_at', ARGV[1])
            return
        end
    end
end

-- Append events to the log of an attempt at the time ARGV[1]: type, time, data, from ARGV[first] on. Return the id of the
-- last event, nil if the lease is lost.
local function append_events(ARGV, id, fence, first)
    local held = redis.call('HMGET', message_key(id), 'state', 'fence', 'dropped', 'first_chunk_at')
    if held[1] ~= 'processing' or held[2] ~= fence then return nil end
    local log, dropped = log_key(id), tonumber(held[3] or 0)
    if #ARGV < first then return dropped + redis.call('LLEN', log) end
    if not held[4] then note_first_chunk(ARGV, id, first) end
    local last
    for at = first, #ARGV, 1000 do
        last = redis.call('RPUSH', log, unpack(ARGV, at, math.min(at + 999, #ARGV)))
    end
    return dropped + last
end
