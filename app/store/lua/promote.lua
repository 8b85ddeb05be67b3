-- Makes delayed messages ready that are due.
-- KEYS[1] prefix of all keys, from which the script derives their names; KEYS[2] the process's memory
-- ARGV[1] turn, ARGV[2] operation, ARGV[3] time or '', ARGV[4] how many
-- Returns how many.
-- include: keys
-- include: once
-- include: time
-- include: messages

if recalled then return recalled end
local due = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', time(ARGV[3]), 'LIMIT', 0, ARGV[4])
for _, member in ipairs(due) do
    local message = load(id_of(member))
    wait_no_longer(message)
    ready_as_head(message, 1)
end
return #due == 0 and 0 or remember(#due)
