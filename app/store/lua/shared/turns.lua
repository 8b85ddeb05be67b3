-- Ranks of messages that join the queue. `order` is a FairShare, or 'aging' if no level of priority is strict. The messages
-- of a flow take turns with those of other flows in their level: a flow is a tenant, or one subject of a tenant.
local LEVEL, TURN_LENGTH = 1000000000000000, 1000
local LONGEST_TURN = 10000 -- that of the lowest weight

local turn_lengths = {} -- by tenant

-- Return the distance between the ranks of two messages of a tenant's flow.
local function turn_length(tenant)
    local length = turn_lengths[tenant]
    if not length then
        local weight = redis.call('HGET', of_tenant('settings', tenant), 'weight')
        length = math.max(1, math.floor(TURN_LENGTH / (weight and tonumber(weight) or 1) + 0.5))
        turn_lengths[tenant] = length
    end
    return length
end

-- Return the name of the flow of a message within its tenant.
local function flow_name(order, subject) return order == 'subject' and subject or '' end

-- Next ranks by key of the flow, as this script has given them. A cancel makes them out of date.
local next_ranks = {}

-- Ranks below which messages change nothing any more, by key of the flow.
local outdated = {}

-- Forget outdated messages of the flows that were asked for. Call it after other writes: a server without memory refuses a
-- script at the first one that needs memory, but no longer after any other write.
local function drop_outdated_turns()
    for key, rank in pairs(outdated) do redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('(%.0f', rank)) end
    outdated = {}
end

local function forget_turns() next_ranks = {} end

-- Return the rank of the next message of a flow: one turn after its last message, but not before what was already claimed of
-- the level. `first` is the first rank of the level.
local function next_rank(key, tenant, first)
    local claimed = tonumber(redis.call('HGET', CLAIMED_RANKS, first / LEVEL) or first)
    outdated[key] = claimed - LONGEST_TURN
    local last = redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2]
    return math.max(first, claimed, last and tonumber(last) + turn_length(tenant) or 0)
end

-- Return the rank of one more message of a flow. `by_time` is its rank if it takes no turn.
local function take_turn(order, tenant, flow, first, by_time)
    if order == 'aging' then return by_time end
    if order == 'none' then
        -- Messages that took turns, before the setting was changed, may have later ranks than those by time.
        local last = redis.call('ZREVRANGEBYSCORE', WAITING, string.format('(%.0f', first + LEVEL),
            string.format('%.0f', first), 'WITHSCORES', 'LIMIT', 0, 1)[2]
        return math.max(by_time, last and tonumber(last) or 0)
    end
    local key = flow_key(tenant, flow, first)
    local rank = next_ranks[key] or next_rank(key, tenant, first)
    next_ranks[key] = rank + turn_length(tenant)
    return rank
end
