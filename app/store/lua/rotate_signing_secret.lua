-- Store a signing secret unless there is a young one. The two newest are kept.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] id, ARGV[3] secret, ARGV[4] time: secrets from then on are young
-- Returns 1 if it was stored, and id, secret and time of each live one, the newest first.
-- include: keys
-- include: queue
-- include: time
-- include: access
-- include: tokens
-- include: once

local function run(ARGV)
    if recalled then return {1, signing_secrets()} end
    local newest = signing_secrets()[1]
    if newest and tonumber(newest[3]) >= tonumber(ARGV[4]) then return {0, signing_secrets()} end
    redis.call('LPUSH', SIGNING_SECRETS, cmsgpack.pack({ARGV[2], ARGV[3], ARGV[1]}))
    redis.call('LTRIM', SIGNING_SECRETS, 0, 1)
    raise_revision(ARGV[1])
    remember(1)
    return {1, signing_secrets()}
end

return each(run)
