-- Stands before what would make keys in a database that was emptied: the next start would take them for another
-- program's. A start makes a new queue.
if redis.call('EXISTS', prefix .. 'schema') == 0 then
    return redis.error_reply('GONE no schema')
end
