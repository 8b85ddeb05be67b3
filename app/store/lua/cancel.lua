-- Cancel a queued message; the next message of its thread moves up. On request, also cancel an interrupted or processing
-- message.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] tenant, ARGV[3] id, ARGV[4] template of the event (\1T time), ARGV[5] 1 if the
-- message need not be queued, `asks` if it must be interrupted
-- Returns its row and threads left to settle, or its state if it cannot be cancelled. Returns false if the tenant has no
-- such message.
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
    local allowed
    if ARGV[5] == 'asks' then
        allowed = message.state == 'interrupted'
    else
        allowed = message.state == 'queued'
            or ARGV[5] == '1' and (message.state == 'processing' or message.state == 'interrupted')
    end
    if not allowed then return message.state end

    local now, microseconds = clock(ARGV[1])
    if message.cancelled then unrecorded() end
    cancel(message, now, microseconds, ARGV[4])
    if message.readiness == 'blocked' then settle(message.tenant, message.thread, tonumber(message.thread_number)) end
    if message.state ~= 'processing' and message.readiness ~= 'blocked' then promote_next(message, now) end
    return {row(message.id), remember(unsettled)}
end

return each(run)
