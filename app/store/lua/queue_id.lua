-- Get the id of the queue.
-- KEYS[1] key prefix
-- Returns it.
-- include: keys
-- include: queue

return redis.call('GET', prefix .. 'queue')
