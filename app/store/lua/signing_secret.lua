-- Get the secret that signs the webhooks of a message.
-- KEYS[1] key prefix
-- ARGV[1] id of the message
-- Returns the secret of its API key; false if the server's own secret signs.
-- include: keys

local key = redis.call('HGET', message_key(ARGV[1]), 'webhook_key')
return key and redis.call('HGET', api_key_key(key), 'webhook_secret')
