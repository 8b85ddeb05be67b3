-- List messages of a tenant that match all filters, the newest first.
-- KEYS[1] key prefix
-- ARGV see `chosen_messages.lua`; ARGV[3] limit, ARGV[4] bytes of texts after which to end
-- Returns the rows with their positions, the bytes of their texts, and the number below which to continue, false at the
-- end.
-- include: keys
-- include: rows
-- include: visible
-- include: chosen_messages

local limit, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local rows, length = {}, 0
local last = walk(function() return #rows == limit or length >= most end, function(id)
    local columns = listed_row(id)
    rows[#rows + 1] = {columns, position(columns)}
    length = length + row_length(columns)
end)
return {rows, length, last}
