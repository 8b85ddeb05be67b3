-- Make the delayed messages ready that are due.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] limit
-- Returns the count.
-- include: keys
-- include: time
-- include: messages
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local due = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', time(ARGV[1]), 'LIMIT', 0, ARGV[2])
    for _, member in ipairs(due) do
        local message = load(id_of(member))
        leave_waiting(message)
        ready_as_head(message, 1)
    end
    return #due == 0 and 0 or remember(#due)
end

return each(run)
