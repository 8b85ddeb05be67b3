-- Check that the server answers and has the queue.
-- KEYS[1] key prefix
-- include: keys
-- include: queue

return 1
