-- A delivery with the columns that `app.store.rows.to_delivery` expects; nil when there is none.
local function delivery_row(id)
    local f = redis.call('HMGET', delivery_key(id), 'tenant', 'message_id', 'thread', 'url', 'event', 'state', 'tries',
        'created_at', 'next_at', 'attempts')
    if not f[1] then return nil end
    return {id, f[1], f[2], f[3], f[4], f[5], f[6], f[7] or '0', f[8], f[9], f[10] or '[]'}
end
