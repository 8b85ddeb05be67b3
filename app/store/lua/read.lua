-- Read a part of a message's log, and its state.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] id, ARGV[3] event id above which to begin, ARGV[4] limit, ARGV[5] bytes of data after which to end
-- Returns state, ids of the first and the last stored event, id of the first returned event, and the events (type, time,
-- data, with spaces between). Returns false if the tenant has no such message.
-- include: keys

local f = redis.call('HMGET', message_key(ARGV[2]), 'state', 'dropped', 'tenant')
if f[3] ~= ARGV[1] then return false end
local dropped, log = tonumber(f[2] or 0), log_key(ARGV[2])
local count = redis.call('LLEN', log)
local start = math.max(tonumber(ARGV[3]) - dropped, 0)
local stop = math.min(start + tonumber(ARGV[4]), count)
local events, length = {}, 0
while start + #events < stop and length < tonumber(ARGV[5]) do
    local from = start + #events
    for _, event in ipairs(redis.call('LRANGE', log, from, math.min(from + 64, stop) - 1)) do
        events[#events + 1] = event
        length = length + #event - event:find('{', 1, true)
        if length >= tonumber(ARGV[5]) then break end
    end
end
return {f[1], count > 0 and dropped + 1 or 0, dropped + count, dropped + start + 1, events}
