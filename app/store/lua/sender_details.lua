-- Get what the sender of a delivery needs.
-- KEYS[1] key prefix
-- ARGV[1] id of the message, ARGV[2] key of the receiver, '' for the webhook of the message
-- Returns the secret of the API key that signs, false if the server's own secret signs; the trace and the options of the
-- message, each false if it has none; the alias of the newest answer, false without an answer that has one; and the receiver,
-- nothing if the message does not have it.
-- include: keys

local f = redis.call('HMGET', message_key(ARGV[1]), 'webhook_key', 'trace', 'options', 'tenant', 'aliases', 'receivers')
local newest, first_event = false, 0
for _, alias in ipairs(f[5] and cjson.decode(f[5]) or {}) do
    local named = redis.call('GET', alias_key(f[4], alias))
    local at = tonumber(string.sub(named, 1, string.find(named, ' ', 1, true) - 1))
    if at > first_event then newest, first_event = alias, at end
end
local signing_key, receiver = f[1], nil  -- a nil before the end would cut the reply
if ARGV[2] ~= '' then
    signing_key = false
    for _, each in ipairs(f[6] and cjson.decode(f[6]) or {}) do
        if each.key == ARGV[2] then receiver, signing_key = cjson.encode(each), each.signing_key or false end
    end
end
return {signing_key and redis.call('HGET', api_key_key(signing_key), 'webhook_secret'), f[2], f[3], newest, receiver}
