-- Get the id of the queue.
-- KEYS[1] prefix of all keys
-- Returns it.
-- include: keys
-- include: queue

return redis.call('GET', prefix .. 'queue')
