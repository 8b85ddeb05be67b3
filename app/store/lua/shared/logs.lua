-- Append events to the log of an attempt: type, a space, data, from ARGV[first] on. Return the id of the last event, nil if
-- the lease is lost.
local function append_events(ARGV, id, fence, first)
    local held = redis.call('HMGET', message_key(id), 'state', 'fence', 'dropped')
    if held[1] ~= 'processing' or held[2] ~= fence then return nil end
    local log, dropped = log_key(id), tonumber(held[3] or 0)
    if #ARGV < first then return dropped + redis.call('LLEN', log) end
    local last
    for at = first, #ARGV, 1000 do
        last = redis.call('RPUSH', log, unpack(ARGV, at, math.min(at + 999, #ARGV)))
    end
    return dropped + last
end
