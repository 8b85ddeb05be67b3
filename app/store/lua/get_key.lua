-- Get an API key.
-- KEYS[1] key prefix
-- ARGV[1] tenant or '' for any, ARGV[2] id
-- Returns its row; false if there is none.
-- include: keys
-- include: queue
-- include: access

return api_key(ARGV[1], ARGV[2])
