-- Record a heartbeat of a worker and extend the leases that it names. A lease that ran out is not revived.
-- KEYS[1] key prefix
-- ARGV[1] time, ARGV[2] worker, ARGV[3] host, ARGV[4] process id, ARGV[5] slots, ARGV[6] lease in milliseconds,
-- ARGV[7] its agents as JSON or '', ARGV[8] lead of its clock in milliseconds, ARGV[9] its load as JSON or '',
-- ARGV[10] its state as it knows it, ARGV[11...] id and fence of each lease
-- Returns whether the worker has to drain, and for each lease that it still holds: message id, fence, and whether the
-- message was cancelled.
-- include: keys
-- include: queue
-- include: time

local now = time(ARGV[1])
local worker = worker_key(ARGV[2])
redis.call('ZADD', WORKERS, now, ARGV[2])
if redis.call('HSETNX', worker, 'started_at', now) == 1 then
    redis.call('HSET', worker, 'state', ARGV[10])
    record_other('worker.started', now, '', '', '', ARGV[2])
    keep_changes()
end
local state = redis.call('HGET', worker, 'state')
if state == 'draining' and ARGV[10] == 'drained' then
    state = 'drained'
    redis.call('HSET', worker, 'state', state)
    record_other('worker.drained', now, '', '', '', ARGV[2])
    keep_changes()
end
redis.call('HSETNX', worker, 'host', ARGV[3])
redis.call('HSETNX', worker, 'pid', ARGV[4])
redis.call('HSET', worker, 'slots', ARGV[5], 'clock_ahead_ms', ARGV[8], 'load', ARGV[9])
if redis.call('HGET', worker, 'agents') ~= ARGV[7] then redis.call('HSET', worker, 'agents', ARGV[7]) end
local held = {}
for i = 11, #ARGV, 2 do
    local id, fence = ARGV[i], ARGV[i + 1]
    local f = redis.call('HMGET', message_key(id), 'number', 'state', 'fence', 'worker', 'cancel_requested')
    if f[2] == 'processing' and f[3] == fence and f[4] == ARGV[2] then
        local member = member_of(f[1], id)
        if tonumber(redis.call('ZSCORE', LEASES, member)) > now then
            redis.call('ZADD', LEASES, now + tonumber(ARGV[6]), member)
            held[#held + 1] = {id, tonumber(fence), f[5] and 1 or 0}
        end
    end
end
return {state == 'active' and 0 or 1, held}
