-- KEYS[2] index, KEYS[3] rows

-- Return the names of all checkpoints and writes, the number of checkpoints, which come first, and a digest of them.
-- Writes that are added meanwhile change nothing for pruning: they belong to checkpoints that stay.
local function index()
    local names = redis.call('ZRANGE', KEYS[2], 0, -1)
    local checkpoints = 0
    while checkpoints < #names and string.sub(names[checkpoints + 1], 1, 1) == 'c' do
        checkpoints = checkpoints + 1
    end
    return names, checkpoints, redis.sha1hex(table.concat(names, '\n', 1, checkpoints))
end

-- Return the digest of the checkpoints, the names of all checkpoints and writes, and the rows of the first checkpoints,
-- at most `limit`.
local function listed(limit)
    local names, checkpoints, digest = index()
    local rows = {}
    for i = 1, math.min(limit, checkpoints) do
        rows[i] = redis.call('HGET', KEYS[3], names[i])
    end
    return {digest, names, rows}
end
