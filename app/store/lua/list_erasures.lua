-- List erasures, newest first.
-- KEYS[1] key prefix
-- ARGV[1] tenant or '' for any, ARGV[2] maximum number
-- Returns the fields of each.
-- include: keys
-- include: erasures

local rows = {}
for _, id in ipairs(redis.call('ZREVRANGE', ERASURES, 0, -1)) do
    if #rows == tonumber(ARGV[2]) then break end
    rows[#rows + 1] = erasure_row(ARGV[1], id)
end
return rows
