-- Group failed messages of a tenant by fingerprint, the group with the latest failure first.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] limit
-- Returns for each group: fingerprint, count, error and code of the newest, times of the first and the last failure.
-- include: keys

local groups = {}
for i, fingerprint in ipairs(redis.call('ZRANGE', of_tenant('kinds', ARGV[1]), 0, tonumber(ARGV[2]) - 1)) do
    local kind = kind_key(ARGV[1], fingerprint)
    local first, last = redis.call('ZRANGE', kind, 0, 0, 'WITHSCORES'), redis.call('ZRANGE', kind, -1, -1, 'WITHSCORES')
    local f = redis.call('HMGET', message_key(id_of(last[1])), 'error', 'error_code')
    groups[i] = {fingerprint, redis.call('ZCARD', kind), f[1], f[2], tonumber(first[2]), tonumber(last[2])}
end
return groups
