-- How fast the queue moves.
-- KEYS[1] prefix of all keys, from which the script derives their names
-- ARGV[1] how many of the newest completed messages count
-- Returns whether it is paused, slots and agents of each group of workers that tell the same of their agents, how many
-- messages are being processed, how many milliseconds each of the newest took, and, with several groups, how many
-- messages run in each.
-- include: keys

local slots_of, agents_of, groups = {}, {}, {}
for _, id in ipairs(redis.call('ZRANGE', WORKERS, 0, -1)) do
    local f = redis.call('HMGET', worker_key(id), 'slots', 'agents')
    local agents = f[2] or ''
    if not slots_of[agents] then groups[#groups + 1] = agents end
    slots_of[agents] = (slots_of[agents] or 0) + tonumber(f[1] or 0)
    agents_of[id] = agents
end
local told, running, in_groups = {}, {}, {}
if #groups > 1 then
    for _, member in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
        local agents = agents_of[redis.call('HGET', message_key(id_of(member)), 'worker') or '']
        if agents then running[agents] = (running[agents] or 0) + 1 end
    end
end
for i, agents in ipairs(groups) do
    told[i] = {slots_of[agents], agents}
    in_groups[i] = running[agents] or 0
end
return {redis.call('EXISTS', PAUSED), told, redis.call('ZCARD', LEASES),
    redis.call('LRANGE', THROUGHPUT, -tonumber(ARGV[1]), -1), in_groups}
