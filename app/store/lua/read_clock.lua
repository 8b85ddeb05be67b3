-- Read the server's clock and the stored state of the clock (`app.clock`). Nothing else uses the server's clock.
-- KEYS[1] prefix of all keys
-- Returns milliseconds since the epoch and the fields of `ClockState`, false where there is none yet.
-- include: keys

local read = redis.call('TIME')
return {read[1] * 1000 + math.floor(read[2] / 1000),
    redis.call('HMGET', CLOCK, 'epoch', 'correction', 'since', 'seen', 'boot', 'ahead', 'noted')}
