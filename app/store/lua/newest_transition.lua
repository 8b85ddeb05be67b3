-- Find the newest change.
-- KEYS[1] key prefix
-- Returns the name of the log, the id of the newest entry, and the number of its changes.
-- include: keys

local name = string.sub(redis.call('GET', prefix .. 'queue'), 1, 8)
local newest = redis.call('XREVRANGE', TRANSITIONS, '+', '-', 'COUNT', 1)[1]
return {name, newest and newest[1] or '0-0', newest and #cmsgpack.unpack(newest[2][2]) or 0}
