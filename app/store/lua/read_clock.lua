-- Reads the server's clock, and what is known of its steps: see `app.clock`. Nothing else uses this clock.
-- KEYS[1] prefix of all keys, from which the script derives their names
-- Returns milliseconds since the epoch and the fields of `ClockState`, false where there are none yet.
-- include: keys

local read = redis.call('TIME')
return {read[1] * 1000 + math.floor(read[2] / 1000),
    redis.call('HMGET', CLOCK, 'epoch', 'correction', 'since', 'seen', 'boot', 'ahead', 'noted')}
