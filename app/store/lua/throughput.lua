-- Read the values from which waits are estimated.
-- KEYS[1] key prefix
-- ARGV[1] count of the newest completed messages to measure
-- Returns whether the queue is paused, slots and agents of each group of active workers with the same agents, the count of
-- processing messages, run times in milliseconds, the count of processing messages of each group if there are several, and
-- the count of workers that are draining or drained.
-- include: keys

local slots_of, agents_of, groups, draining = {}, {}, {}, 0
for _, id in ipairs(redis.call('ZRANGE', WORKERS, 0, -1)) do
    local f = redis.call('HMGET', worker_key(id), 'slots', 'agents', 'state')
    if f[3] == 'active' then
        local agents = f[2] or ''
        if not slots_of[agents] then groups[#groups + 1] = agents end
        slots_of[agents] = (slots_of[agents] or 0) + tonumber(f[1] or 0)
        agents_of[id] = agents
    else
        draining = draining + 1
    end
end
local shown, running, in_groups = {}, {}, {}
if #groups > 1 then
    for _, member in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
        local agents = agents_of[redis.call('HGET', message_key(id_of(member)), 'worker') or '']
        if agents then running[agents] = (running[agents] or 0) + 1 end
    end
end
for i, agents in ipairs(groups) do
    shown[i] = {slots_of[agents], agents}
    in_groups[i] = running[agents] or 0
end
return {redis.call('EXISTS', PAUSED), shown, redis.call('ZCARD', LEASES),
    redis.call('LRANGE', THROUGHPUT, -tonumber(ARGV[1]), -1), in_groups, draining}
