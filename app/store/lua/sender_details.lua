-- Get what the sender of a message's webhooks needs.
-- KEYS[1] key prefix
-- ARGV[1] id of the message
-- Returns the secret of its API key, false if the server's own secret signs; and its trace, false if it has none.
-- include: keys

local f = redis.call('HMGET', message_key(ARGV[1]), 'webhook_key', 'trace')
return {f[1] and redis.call('HGET', api_key_key(f[1]), 'webhook_secret'), f[2]}
