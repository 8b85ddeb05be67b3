-- List messages of a thread in its order.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] thread, ARGV[3] thread number above which to begin, ARGV[4] limit, ARGV[5] bytes of texts after
-- which to end, ARGV[6] a JSON object with the names of the agents whose messages to list, '' for all
-- Returns a row and a position for each; false if the tenant has no such thread.
-- include: keys
-- include: rows

if redis.call('EXISTS', thread_key(ARGV[1], ARGV[2])) == 0 then return false end
local messages = thread_messages_key(ARGV[1], ARGV[2])
local start, limit = redis.call('ZCOUNT', messages, '-inf', ARGV[3]), tonumber(ARGV[4])
local agents = ARGV[6] ~= '' and cjson.decode(ARGV[6])
local found, length = {}, 0
while #found < limit do
    local ids = redis.call('ZRANGE', messages, start, start + math.min(64, limit - #found) - 1)
    if #ids == 0 then break end
    start = start + #ids
    for _, id in ipairs(ids) do
        local columns = listed_row(id)
        if not agents or agents[columns[{message.agent}]] then
            found[#found + 1] = {columns, position(columns)}
            length = length + row_length(columns)
            if length >= tonumber(ARGV[5]) then return found end
        end
    end
end
return found
