-- Return up to `limit` entries of a stream, from `first` to `last`, and whether more may follow. Ends when the entries have
-- `most` bytes: an entry has all changes of one call, which may be a thousand.
local function read_entries(stream, first, last, limit, most)
    local found, bytes = {}, 0
    while #found < limit and bytes < most do
        local size = math.min(4, limit - #found)
        local part = redis.call('XRANGE', stream, first, last, 'COUNT', size)
        for _, entry in ipairs(part) do
            found[#found + 1], bytes = entry, bytes + #entry[2][2]
        end
        if #part < size then return found, false end
        first = '(' .. part[#part][1]
    end
    return found, true
end
