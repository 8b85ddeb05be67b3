-- Count changes of state that are not yet in the figures, oldest first.
-- KEYS[1] key prefix
-- ARGV[1] limit of entries
-- Returns the id of the last entry that is in the figures, the id of the last counted entry or '', the number of entries, 1 if
-- more may follow, else 0, and what `counted` returns.
-- include: keys
-- include: entries
-- include: counted

local MOST_BYTES = 262144

local head = redis.call('GET', FIGURES_HEAD) or '0-0'
local entries, more = read_entries(TRANSITIONS, '(' .. head, '+', tonumber(ARGV[1]), MOST_BYTES)
return {head, #entries > 0 and entries[#entries][1] or '', #entries, more and 1 or 0, counted(entries, '')}
