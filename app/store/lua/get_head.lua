-- Get the first unfinished message of a thread.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] thread
-- Returns its row, false if there is none.
-- include: keys
-- include: rows

local f = redis.call('HMGET', thread_key(ARGV[1], ARGV[2]), 'processing', 'interrupted', 'head')
if tonumber(f[1] or 0) + tonumber(f[2] or 0) > 0 then return row(f[3]) end
local member = redis.call('ZRANGE', thread_queue_key(ARGV[1], ARGV[2]), 0, 0)[1]
return member and row(id_of(member)) or false
