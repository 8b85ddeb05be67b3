-- Delete the oldest entries with changes of state that are in the figures. The newest of them stays.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time before which entries are deleted, ARGV[2] number of entries above which the oldest are deleted, ARGV[3] limit
-- Returns the count.
-- include: keys
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local oldest = redis.call('XRANGE', TRANSITIONS, '-', redis.call('GET', FIGURES_HEAD) or '0-0', 'COUNT', ARGV[3] + 1)
    local surplus, first, pruned = redis.call('XLEN', TRANSITIONS) - tonumber(ARGV[2]), nil, nil
    for i, entry in ipairs(oldest) do
        first, pruned = entry[1], first
        if i > surplus and cmsgpack.unpack(entry[2][2])[1][1] >= tonumber(ARGV[1]) then break end
    end
    local count = first and redis.call('XTRIM', TRANSITIONS, 'MINID', first) or 0
    if pruned then redis.call('SET', TRANSITIONS_PRUNED, pruned) end
    return count == 0 and 0 or remember(count)
end

return each(run)
