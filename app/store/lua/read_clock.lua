-- Read the server's clock and the stored state of the clock (`app.clock`). Nothing else uses the server's clock.
-- KEYS[1] key prefix
-- Returns milliseconds since the epoch and the fields of `ClockState`, false if nothing is stored yet.
-- include: keys

local read = redis.call('TIME')
return {read[1] * 1000 + math.floor(read[2] / 1000),
    redis.call('HMGET', CLOCK, 'epoch', 'correction', 'since', 'seen', 'boot', 'ahead', 'noted')}
