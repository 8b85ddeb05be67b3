-- List descriptions of agents, in no order.
-- KEYS[1] key prefix
-- Returns the descriptions.
-- include: keys

return redis.call('HVALS', AGENTS)
