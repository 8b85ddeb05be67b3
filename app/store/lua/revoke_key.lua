-- Revoke an API key.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant or '' for any, ARGV[3] id
-- Returns its row; false if there is none.
-- include: keys
-- include: queue
-- include: time
-- include: access
-- include: once

local function run(ARGV)
    local key = api_key(ARGV[2], ARGV[3])
    if recalled or not key or key[{api_key.revoked_at}] then return key end
    redis.call('HSET', api_key_key(ARGV[3]), 'revoked_at', string.format('%.0f', time(ARGV[1])))
    redis.call('SREM', LIVE_KEYS, ARGV[3])
    raise_revision(ARGV[1])
    remember(1)
    return api_key(ARGV[2], ARGV[3])
end

return each(run)
