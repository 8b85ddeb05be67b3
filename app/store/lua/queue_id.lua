-- Which queue this is.
-- KEYS[1] prefix of all keys, from which the script derives their names
-- Returns its id; false when the database was emptied.
-- include: keys

return redis.call('GET', prefix .. 'queue')
