-- A list of the live secrets as {id, secret, time}, packed, the newest first.
local SIGNING_SECRETS = prefix .. 'signing_secrets'

local function end_key(tenant, subject) return prefix .. 'tokens_ended:' .. scope(tenant, subject) end

local function ticket_key(id) return prefix .. 'ticket:' .. id end

local function signing_secrets()
    local found = {}
    for i, packed in ipairs(redis.call('LRANGE', SIGNING_SECRETS, 0, -1)) do found[i] = cmsgpack.unpack(packed) end
    return found
end
