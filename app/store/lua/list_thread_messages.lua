-- List messages of a thread in its order.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] thread, ARGV[3] thread number above which to begin, ARGV[4] limit, ARGV[5] bytes of texts after
-- which to end
-- Returns a row and a position for each; false if the tenant has no such thread.
-- include: keys
-- include: rows

if redis.call('EXISTS', thread_key(ARGV[1], ARGV[2])) == 0 then return false end
local messages = thread_messages_key(ARGV[1], ARGV[2])
local start, limit = redis.call('ZCOUNT', messages, '-inf', ARGV[3]), tonumber(ARGV[4])
local found, length = {}, 0
while #found < limit do
    local ids = redis.call('ZRANGE', messages, start + #found, start + math.min(#found + 64, limit) - 1)
    if #ids == 0 then break end
    for _, id in ipairs(ids) do
        local columns = listed_row(id)
        found[#found + 1] = {columns, position(columns)}
        length = length + row_length(columns)
        if length >= tonumber(ARGV[5]) then return found end
    end
end
return found
