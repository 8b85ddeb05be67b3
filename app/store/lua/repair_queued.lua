-- Compare the queued messages of a tenant by priority with a count. Repair what differs.
-- KEYS[1] key prefix; KEYS[2] earlier replies (`once.lua`)
-- ARGV[1] tenant, ARGV[2] number of queued messages above which nothing is compared
-- Returns counter, its value and the count for each difference.
-- include: keys
-- include: once

local function run(ARGV)
    if recalled then return recalled end
    local tenant, counted = ARGV[1], {}
    local sets = {of_tenant('waiting', tenant), of_tenant('delayed', tenant)}
    if redis.call('ZCARD', sets[1]) + redis.call('ZCARD', sets[2]) > tonumber(ARGV[2]) then return {} end
    for _, set in ipairs(sets) do
        for _, member in ipairs(redis.call('ZRANGE', set, 0, -1)) do
            local priority = redis.call('HGET', message_key(id_of(member)), 'priority')
            counted[priority] = (counted[priority] or 0) + 1
        end
    end
    local counters, found = of_tenant('queued_by_priority', tenant), {}
    local told = redis.call('HGETALL', counters)
    for i = 1, #told, 2 do counted[told[i]] = counted[told[i]] or 0 end
    for priority, is in pairs(counted) do
        local known = tonumber(redis.call('HGET', counters, priority) or 0)
        if known ~= is then
            redis.call('HSET', counters, priority, is)
            found[#found + 1] = {'queued ' .. priority .. ' messages of tenant ' .. tenant, tostring(known), tostring(is)}
        end
    end
    return #found == 0 and found or remember(found)
end

return each(run)
