-- List API keys in the order of their ids.
-- KEYS[1] key prefix
-- ARGV[1] tenant or '' for any, ARGV[2] lowest id as in ZRANGEBYLEX, ARGV[3] maximum number
-- Returns rows.
-- include: keys
-- include: access

local rows = {}
for _, id in ipairs(redis.call('ZRANGEBYLEX', API_KEYS, ARGV[2], '+')) do
    if #rows == tonumber(ARGV[3]) then break end
    rows[#rows + 1] = api_key(ARGV[1], id) or nil
end
return rows
