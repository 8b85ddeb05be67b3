-- Measure a part of one thread.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] thread, ARGV[3] and ARGV[4] thread number and events at which to continue (`storage.lua`), 0 and 0 to begin,
-- ARGV[5] how much to read, roughly in events
-- Returns sizes, and thread number and events at which to continue, false at the end.
-- include: keys
-- include: storage

local sizes = {0, 0, 0, 0}
local messages = thread_messages_key(ARGV[1], ARGV[2])
local function all() return true end
local _, number, skipped = add_messages(messages, ARGV[3], tonumber(ARGV[4]), sizes, tonumber(ARGV[5]), all)
return {sizes, number or false, skipped or 0}
