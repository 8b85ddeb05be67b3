-- Count changes of state that are not yet in the figures, oldest first.
-- KEYS[1] key prefix
-- ARGV[1] limit of entries
-- Returns the id of the last entry that is in the figures, the id of the last counted entry or '', the number of entries, and
-- what `counted` returns.
-- include: keys
-- include: counted

local head = redis.call('GET', FIGURES_HEAD) or '0-0'
local entries = redis.call('XRANGE', TRANSITIONS, '(' .. head, '+', 'COUNT', ARGV[1])
return {head, #entries > 0 and entries[#entries][1] or '', #entries, counted(entries, '')}
