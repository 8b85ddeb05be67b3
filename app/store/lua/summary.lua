-- Summarize the queue of a tenant.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] limit of each list, ARGV[3] bytes of texts after which a list ends
-- Returns the totals (queued, processing, completed, failed, cancelled, interrupted), priorities and the counts of their queued
-- messages in turn, and the rows of queued and of processing messages.
-- include: keys
-- include: rows

local tenant, limit, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local waiting, delayed = of_tenant('waiting', tenant), of_tenant('delayed', tenant)
local processing = of_tenant('processing', tenant)
local ended = redis.call('HMGET', of_tenant('tallies', tenant), 'completed', 'failed', 'cancelled')
local totals = {redis.call('ZCARD', waiting) + redis.call('ZCARD', delayed), redis.call('ZCARD', processing),
    tonumber(ended[1] or 0), tonumber(ended[2] or 0), tonumber(ended[3] or 0),
    redis.call('ZCARD', of_tenant('interrupted', tenant))}
local queued, length = page(waiting, limit, most)
if length < most then
    for _, columns in ipairs((page(delayed, limit - #queued, most))) do queued[#queued + 1] = columns end
end
return {totals, redis.call('HGETALL', of_tenant('queued_by_priority', tenant)), queued, (page(processing, limit, most))}
