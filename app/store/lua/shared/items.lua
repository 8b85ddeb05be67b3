-- Return fields of an item; nil if the item does not exist or has expired.
local function item_fields(name, now, ...)
    local f = redis.call('HMGET', item_key(name), 'expires_at', 'updated_at', ...)
    if not f[2] or (f[1] and tonumber(f[1]) <= now) then return nil end
    return f
end

local function delete_item(tenant, member)
    local name = item_name(tenant, member)
    redis.call('DEL', item_key(name))
    redis.call('ZREM', of_tenant('items', tenant), member)
    redis.call('ZREM', ITEM_EXPIRY, name)
end
