-- KEYS[2] index

-- Return the names of all checkpoints and writes, and a digest of them.
local function index()
    local names = redis.call('ZRANGE', KEYS[2], 0, -1)
    return names, redis.sha1hex(table.concat(names, '\n'))
end
