-- An alias has a key of its own: the first event that belongs to it, a space, and the id of its message. The hash of the
-- message has `aliases`, a JSON array, by which they are deleted with it.

-- Return whether an alias names another message of the tenant than this one, or is its id.
local function is_taken(tenant, alias, id)
    local named = redis.call('GET', alias_key(tenant, alias))
    if named then return string.sub(named, string.find(named, ' ', 1, true) + 1) ~= id end
    return alias ~= id and redis.call('HGET', message_key(alias), 'tenant') == tenant
end

-- Store aliases that are not taken. An alias that names the message already stays as it is.
local function keep_aliases(tenant, id, aliases, first_event)
    local stored = redis.call('HGET', message_key(id), 'aliases')
    local kept = stored and cjson.decode(stored) or {}
    for _, alias in ipairs(aliases) do
        local named = string.format('%.0f ', first_event) .. id
        if redis.call('SET', alias_key(tenant, alias), named, 'NX') then kept[#kept + 1] = alias end
    end
    if #kept > 0 then redis.call('HSET', message_key(id), 'aliases', cjson.encode(kept)) end
end
