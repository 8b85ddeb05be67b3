-- Read how much memory and disk the server uses.
-- KEYS[1] key prefix
-- Returns the text of INFO, an empty text if the user may not read it, and the number of keys.
-- include: keys

local reply, keys = redis.pcall('INFO'), redis.pcall('DBSIZE')
return {type(reply) == 'table' and '' or reply, type(keys) == 'table' and false or keys}
