-- Give an API key other limits and quotas, if it has the expected ones.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant or '' for any, ARGV[3] id, ARGV[4] limits, ARGV[5] quotas, ARGV[6] the expected limits,
-- ARGV[7] the expected quotas, all as JSON
-- Returns its row; false if there is none; 'revoked'; 'moved' if it has others.
-- include: keys
-- include: queue
-- include: time
-- include: access
-- include: once

local function run(ARGV)
    local row = api_key(ARGV[2], ARGV[3])
    if recalled or not row then return row end
    if row[{api_key.revoked_at}] then return 'revoked' end
    if row[{api_key.limits}] ~= ARGV[6] or row[{api_key.quotas}] ~= ARGV[7] then return 'moved' end
    redis.call('HSET', api_key_key(ARGV[3]), 'limits', ARGV[4], 'quotas', ARGV[5])
    raise_revision(ARGV[1])
    remember(1)
    return api_key(ARGV[2], ARGV[3])
end

return each(run)
