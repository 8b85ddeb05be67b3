-- Refuse to create keys in a database that was emptied: the next start would take them for another program's.
if redis.call('EXISTS', prefix .. 'schema') == 0 then
    return redis.error_reply('GONE no schema')
end
