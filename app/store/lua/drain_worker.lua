-- Ask a worker to drain, or to claim messages again.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] time, ARGV[2] worker, ARGV[3] 'draining' or 'active', ARGV[4] type of the change
-- Returns 1; false if there is no such worker.
-- include: keys
-- include: queue
-- include: time
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    if not redis.call('ZSCORE', WORKERS, ARGV[2]) then return false end
    local worker = worker_key(ARGV[2])
    if (redis.call('HGET', worker, 'state') == 'active') ~= (ARGV[3] == 'draining') then return 1 end
    redis.call('HSET', worker, 'state', ARGV[3])
    record_other(ARGV[4], time(ARGV[1]), '', '', '', ARGV[2])
    return remember(1)
end

return each(run)
