-- Give an API key a new secret.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant or '' for any, ARGV[3] id, ARGV[4] hash of the new secret, ARGV[5] end of the present secret
-- Returns its row; false if there is none; 'revoked'.
-- include: keys
-- include: queue
-- include: time
-- include: access
-- include: once

local function run(ARGV)
    local row = api_key(ARGV[2], ARGV[3])
    if recalled or not row then return row end
    if row[{api_key.revoked_at}] then return 'revoked' end
    redis.call('HSET', api_key_key(ARGV[3]), 'previous_hash', row[{api_key.secret_hash}], 'previous_until', ARGV[5],
        'secret_hash', ARGV[4])
    raise_revision(ARGV[1])
    remember(1)
    return api_key(ARGV[2], ARGV[3])
end

return each(run)
