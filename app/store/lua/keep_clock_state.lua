-- Store the state of the clock, unless another process has corrected a step meanwhile or the queue was deleted.
-- KEYS[1] key prefix
-- ARGV[1] epoch of the previous state, ARGV[2...8] fields of `ClockState`
-- Returns whether it was stored.
-- include: keys

if redis.call('EXISTS', prefix .. 'schema') == 0 or (redis.call('HGET', CLOCK, 'epoch') or '0') ~= ARGV[1] then return 0 end
redis.call('HSET', CLOCK, 'epoch', ARGV[2], 'correction', ARGV[3], 'since', ARGV[4], 'seen', ARGV[5], 'boot', ARGV[6],
    'ahead', ARGV[7], 'noted', ARGV[8])
return 1
