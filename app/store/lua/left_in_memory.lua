-- Tell whether memories of erased threads and messages are left.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] id of the erasure, ARGV[3] 1 if all of the tenant is erased
-- Returns 1 or 0. Returns 1 also if the tenant has too many dropped memories to look at.
-- include: keys
-- include: erasures

local MOST = 1000

for _, kind in ipairs({'thread', 'message'}) do
    local begin = kind .. ':' .. scope(ARGV[1], '')
    local members = redis.call('ZRANGEBYLEX', DROPPED_MEMORIES, '[' .. begin, '(' .. begin .. '\255', 'LIMIT', 0, MOST)
    if #members == MOST or #members > 0 and ARGV[3] == '1' then return 1 end
    for _, member in ipairs(members) do
        if redis.call('SISMEMBER', erased_names_key(ARGV[2]), string.sub(member, #begin + 1)) == 1 then return 1 end
    end
end
return 0
