-- Get messages of a tenant.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] bytes of texts after which to end, ARGV[3...] ids
-- Returns a row for each, or false if the tenant has no such message. Long texts end the list early, after at least one.
-- include: keys
-- include: rows

local found, length = {}, 0
for i = 3, #ARGV do
    local columns = redis.call('HGET', message_key(ARGV[i]), 'tenant') == ARGV[1] and listed_row(ARGV[i])
    found[#found + 1] = columns
    length = length + (columns and row_length(columns) or 0)
    if length >= tonumber(ARGV[2]) then break end
end
return found
