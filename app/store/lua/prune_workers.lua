-- Delete workers whose last heartbeat is older than an age.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] age in milliseconds
-- Returns the count.
-- include: keys
-- include: time
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local now = time(ARGV[1])
    local before = '(' .. string.format('%d', now - tonumber(ARGV[2]))
    local silent = redis.call('ZRANGEBYSCORE', WORKERS, '-inf', before)
    for _, id in ipairs(silent) do
        redis.call('ZREM', WORKERS, id)
        redis.call('DEL', worker_key(id))
        record_other('worker.lost', now, '', '', '', id)
    end
    return #silent == 0 and 0 or remember(#silent)
end

return each(run)
