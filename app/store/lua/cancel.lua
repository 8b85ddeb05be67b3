-- Cancels a queued message; the next of its thread takes its place. Also one that is interrupted or being processed, if
-- that is asked for.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] id, ARGV[4] template of the event (\1T time), ARGV[5] 1 for those that
-- are not queued too
-- Returns its row and what is left to be settled; its state when it cannot be cancelled; false when the tenant has no such message.
-- include: keys
-- include: time
-- include: messages
-- include: endings
-- include: ranks
-- include: cancels
-- include: rows
-- include: once

local function run(ARGV)
    if recalled then return {row(ARGV[3]), recalled} end
    unsettled = {}
    local message = load_of(ARGV[2], ARGV[3])
    if not message then return false end
    local allowed = message.state == 'queued'
        or ARGV[5] == '1' and (message.state == 'processing' or message.state == 'interrupted')
    if not allowed then return message.state end

    local now, microseconds = clock(ARGV[1])
    cancel(message, now, microseconds, ARGV[4])
    if message.readiness == 'blocked' then settle(message.tenant, message.thread, tonumber(message.thread_number)) end
    if message.state ~= 'processing' and message.readiness ~= 'blocked' then promote_next(message, now) end
    return {row(message.id), remember(unsettled)}
end

return each(run)
