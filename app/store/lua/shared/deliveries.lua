-- The event that a delivery tells of. One that an earlier version made does not name it, and is listed by it only from its
-- next change of state on.
local function event_of(id, named)
    return named or string.match(redis.call('HGET', delivery_key(id), 'event'), '"state": "(%a+)"')
end

-- A delivery with the columns that `app.store.rows.to_delivery_record` expects; nil when there is none.
local function delivery_record(id)
    local f = redis.call('HMGET', delivery_key(id), 'tenant', 'message_id', 'thread', 'url', 'told', 'state', 'tries',
        'created_at', 'next_at', 'attempts')
    if not f[1] then return nil end
    return {id, f[1], f[2], f[3], f[4], event_of(id, f[5]), f[6], f[7] or '0', f[8], f[9], f[10] or '[]'}
end

-- With the columns that `app.store.rows.to_delivery` expects.
local function delivery_row(id)
    local columns = delivery_record(id)
    if columns then columns[12] = redis.call('HGET', delivery_key(id), 'event') end
    return columns
end

-- Gives a delivery its state and lists it by that; `f` has its tenant, event, state and creation time as they are.
local function move_delivery(id, f, state)
    if state == f[3] then return end
    local event = event_of(id, f[2])
    redis.call('HSET', delivery_key(id), 'state', state, 'told', event)
    redis.call('ZREM', deliveries_of_kind(f[1], f[3], event), id)
    redis.call('ZADD', deliveries_of_kind(f[1], state, event), f[4], id)
end
