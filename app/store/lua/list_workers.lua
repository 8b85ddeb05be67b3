-- List workers as of their last heartbeat.
-- KEYS[1] key prefix
-- Returns for each: id, host, process id, slots, time of the start, time of the last heartbeat, lead of its
-- clock in milliseconds, state, agents, load.
-- include: keys

local found = redis.call('ZRANGE', WORKERS, 0, -1, 'WITHSCORES')
local workers = {}
for i = 1, #found, 2 do
    local f = redis.call('HMGET', worker_key(found[i]), 'host', 'pid', 'slots', 'started_at', 'agents',
        'clock_ahead_ms', 'load', 'state')
    workers[#workers + 1] = {found[i], f[1], f[2], f[3], f[4], found[i + 1], f[6] or 0, f[8], f[5] or '', f[7] or ''}
end
return workers
