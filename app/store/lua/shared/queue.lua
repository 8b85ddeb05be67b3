-- Fail if the database was emptied. Keys that were created now would look like another program's at the next start.
if redis.call('EXISTS', prefix .. 'schema') == 0 then
    return redis.error_reply('GONE no schema')
end
