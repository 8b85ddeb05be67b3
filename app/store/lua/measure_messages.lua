-- Measure messages of a tenant that have no thread.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] and ARGV[3] number and events at which to continue (`storage.lua`), 0 and 0 to begin, ARGV[4] how
-- much to read, roughly in events
-- Returns sizes, ids, and number and events at which to continue, false at the end.
-- include: keys
-- include: storage

local sizes, ids = {0, 0, 0, 0}, {}
local function is_alone(id)
    if redis.call('HEXISTS', message_key(id), 'thread_id') == 1 then return false end
    ids[#ids + 1] = id
    return true
end
local messages = of_tenant('messages', ARGV[1])
local _, number, skipped = add_messages(messages, ARGV[2], tonumber(ARGV[3]), sizes, tonumber(ARGV[4]), is_alone)
return {sizes, ids, number or false, skipped or 0}
