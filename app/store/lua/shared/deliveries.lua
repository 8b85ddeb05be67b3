-- Return `app.store.rows.DELIVERY_COLUMNS` of a delivery, nil if there is none. Its hash has all of them but `id`.
local function delivery_record(id)
    local columns = redis.call('HMGET', delivery_key(id), {delivery_columns})
    if not columns[{delivery.tenant}] then return nil end
    columns[{delivery.id}] = id
    columns[{delivery.tries}] = columns[{delivery.tries}] or '0'
    columns[{delivery.attempts}] = columns[{delivery.attempts}] or '[]'
    return columns
end

-- Return the same columns with the data as one more.
local function delivery_row(id)
    local columns = delivery_record(id)
    if columns then columns[#columns + 1] = redis.call('HGET', delivery_key(id), 'data') end
    return columns
end

-- Change the state of a delivery. `f` has its tenant, event, state and creation time.
local function move_delivery(id, f, state)
    if state == f[3] then return end
    redis.call('HSET', delivery_key(id), 'state', state)
    redis.call('ZREM', deliveries_of_kind(f[1], f[3], f[2]), id)
    redis.call('ZADD', deliveries_of_kind(f[1], state, f[2]), f[4], id)
end
