-- Get what the sender of a message's webhooks needs.
-- KEYS[1] key prefix
-- ARGV[1] id of the message
-- Returns the secret of its API key, false if the server's own secret signs; its trace and its options, each false if it
-- has none; and the alias of the newest answer, nothing without an answer that has one.
-- include: keys

local f = redis.call('HMGET', message_key(ARGV[1]), 'webhook_key', 'trace', 'options', 'tenant', 'aliases')
local newest, first_event = nil, 0
for _, alias in ipairs(f[5] and cjson.decode(f[5]) or {}) do
    local named = redis.call('GET', alias_key(f[4], alias))
    local at = tonumber(string.sub(named, 1, string.find(named, ' ', 1, true) - 1))
    if at > first_event then newest, first_event = alias, at end
end
return {f[1] and redis.call('HGET', api_key_key(f[1]), 'webhook_secret'), f[2], f[3], newest}
