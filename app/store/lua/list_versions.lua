-- List the versions of agents that are remembered, and those for which ready messages wait.
-- KEYS[1] key prefix
-- Returns for each remembered version: its JSON, when it was first seen, when it was last seen. Then the JSON of each
-- version that is waited for.
-- include: keys

local seen, waiting = {}, {}
local found = redis.call('ZRANGE', versions_key('last'), 0, -1, 'WITHSCORES')
for i = 1, #found, 2 do
    seen[#seen + 1] = {found[i], redis.call('ZSCORE', versions_key('first'), found[i]), found[i + 1]}
end
for _, name in ipairs(redis.call('SMEMBERS', versions_key('ready'))) do
    if redis.call('EXISTS', ready_key(unpack(cjson.decode(name)))) == 1 then waiting[#waiting + 1] = name end
end
return {seen, waiting}
