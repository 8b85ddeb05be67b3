-- Read what the server says of itself.
-- KEYS[1] key prefix
-- Returns the text of INFO, an empty text if the user may not read it.
-- include: keys

local reply = redis.pcall('INFO')
return type(reply) == 'table' and '' or reply
