-- Get an erasure.
-- KEYS[1] key prefix
-- ARGV[1] tenant or '' for any, ARGV[2] id
-- Returns its fields; false if there is none.
-- include: keys
-- include: erasures

return erasure_row(ARGV[1], ARGV[2]) or false
