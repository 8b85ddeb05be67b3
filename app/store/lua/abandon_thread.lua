-- List the memory of a draft as dropped.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] tenant, ARGV[2] thread
-- Returns 1.
-- include: keys
-- include: drafts
-- include: once

local function run(ARGV)
    local name = scope(ARGV[1], ARGV[2])
    if redis.call('HGET', HIDDEN, name) == 'draft' then abandon(name) end
    return 1
end

return each(run)
