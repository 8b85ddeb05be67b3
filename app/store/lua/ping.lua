-- Prove that the server answers and has the queue.
-- KEYS[1] prefix of all keys
-- include: keys
-- include: queue

return 1
