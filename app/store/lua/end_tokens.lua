-- End the tokens of a subject or of a tenant.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] subject or '', ARGV[4] seconds for which this is kept
-- Returns the revision as text.
-- include: keys
-- include: queue
-- include: time
-- include: access
-- include: tokens
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    raise_revision(ARGV[1])
    local revision = redis.call('GET', REVISION)
    redis.call('SET', end_key(ARGV[2], ARGV[3]), revision, 'EX', ARGV[4])
    return remember(revision)
end

return each(run)
