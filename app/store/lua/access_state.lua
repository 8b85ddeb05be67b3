-- Get the revision of the API keys, and how many are not revoked.
-- KEYS[1] key prefix
-- Returns both.
-- include: keys
-- include: queue

return {redis.call('GET', REVISION) or '0', redis.call('SCARD', LIVE_KEYS)}
