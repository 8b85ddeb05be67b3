-- Read what the attempts of several messages used.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2...] ids
-- Returns for each message what `message_usage.lua` returns.
-- include: keys

local found = {}
for i = 2, #ARGV do
    local is_own = redis.call('HGET', message_key(ARGV[i]), 'tenant') == ARGV[1]
    found[i - 1] = is_own and redis.call('HGETALL', usage_key(ARGV[i])) or {}
end
return found
