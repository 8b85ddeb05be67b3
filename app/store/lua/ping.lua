-- Proves that the server answers and has the queue.
-- KEYS[1] prefix of all keys, from which the script derives their names
-- include: keys
-- include: queue

return 1
