-- How the contents of a tenant's messages begin.
-- KEYS[1] prefix of all keys, from which the script derives their names
-- ARGV[1] tenant, ARGV[2] length in bytes, ARGV[3...] ids
-- Returns a text for each; false when the tenant has no such message.
-- include: keys

local length = tonumber(ARGV[2])
local texts = {}
for i = 3, #ARGV do
    local text = redis.call('HGET', message_key(ARGV[i]), 'tenant') == ARGV[1]
        and redis.call('GETRANGE', content_key(ARGV[i]), 0, length)
    if text and #text > length then
        -- Not in the middle of a character.
        local last = length
        while last > 0 and text:byte(last + 1) >= 128 and text:byte(last + 1) < 192 do last = last - 1 end
        text = text:sub(1, last)
    end
    texts[#texts + 1] = text
end
return texts
