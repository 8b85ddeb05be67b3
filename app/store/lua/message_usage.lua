-- Read what the attempts of a message used.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] id
-- Returns name and counts of each model in turn; nothing if the tenant has no such message.
-- include: keys

if redis.call('HGET', message_key(ARGV[2]), 'tenant') ~= ARGV[1] then return {} end
return redis.call('HGETALL', usage_key(ARGV[2]))
