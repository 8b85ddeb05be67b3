-- Which queue this is.
-- KEYS[1] prefix of all keys, from which the script derives their names
-- Returns its id.
-- include: keys
-- include: queue

return redis.call('GET', prefix .. 'queue')
