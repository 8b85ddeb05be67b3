-- Store an API key.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] id, ARGV[3] tenant, ARGV[4] name, ARGV[5] scopes, ARGV[6] hash of the secret, ARGV[7] expiry or '',
-- ARGV[8] URL of the webhook or '', ARGV[9] its secret or '', ARGV[10] limits, ARGV[11] quotas, both as JSON
-- Returns its row; 'erasing' if the tenant is being erased.
-- include: keys
-- include: queue
-- include: time
-- include: access
-- include: erasures
-- include: once

local function run(ARGV)
    if recalled then return api_key('', ARGV[2]) end
    if erasing_kind(ARGV[3]) then return 'erasing' end
    local key = api_key_key(ARGV[2])
    redis.call('HSET', key, 'id', ARGV[2], 'tenant', ARGV[3], 'name', ARGV[4], 'scopes', ARGV[5],
        'created_at', string.format('%.0f', time(ARGV[1])), 'secret_hash', ARGV[6],
        'limits', ARGV[10], 'quotas', ARGV[11])
    if ARGV[7] ~= '' then redis.call('HSET', key, 'expires_at', ARGV[7]) end
    if ARGV[8] ~= '' then redis.call('HSET', key, 'webhook_url', ARGV[8]) end
    if ARGV[9] ~= '' then redis.call('HSET', key, 'signs_webhooks', 1, 'webhook_secret', ARGV[9]) end
    redis.call('ZADD', API_KEYS, 0, ARGV[2])
    redis.call('SADD', LIVE_KEYS, ARGV[2])
    raise_revision(ARGV[1])
    remember(1)
    return api_key('', ARGV[2])
end

return each(run)
