-- Names of the keys. All begin with the hash tag in KEYS[1], so they are in one slot of a cluster.
local prefix = KEYS[1] .. ':'
local WAITING, DELAYED, LEASES = prefix .. 'waiting', prefix .. 'delayed', prefix .. 'leases'
local ENDED = prefix .. 'ended'
local PRUNABLE = prefix .. 'prunable' -- set of the tenants that may have ended messages or threads without messages
local WORKERS, INTERRUPTED, DUE = prefix .. 'workers', prefix .. 'interrupted', prefix .. 'due'
local ITEM_EXPIRY = prefix .. 'item_expiry' -- names of items (`item_name`) by the time at which they expire
local AGENTS = prefix .. 'agents' -- hash of descriptions by name
local DESCRIBED = prefix .. 'described' -- sorted set of names by the time of their description
local API_KEYS, LIVE_KEYS = prefix .. 'api_keys', prefix .. 'live_keys' -- sorted set of ids; set of those not revoked
local TENANTS = prefix .. 'tenants' -- sorted set of the tenants that have a record, all with score 0
local REVISION = prefix .. 'access_revision' -- raised by every change of API keys and tenants
local AUDIT = prefix .. 'audit' -- stream of records with the ids `NUMBER-0`, each with the field `record`: JSON
local DROPPED_MEMORIES = prefix .. 'dropped_memories'
-- Threads that no reader sees: a hash of 'draft' or 'deleted' by scope, and the drafts by the time of their creation.
local HIDDEN, DRAFTS = prefix .. 'hidden', prefix .. 'drafts'
local THREAD_TTLS = prefix .. 'thread_ttls' -- threads with a TTL (`scope`) by a time before which they do not expire
local USAGE_HOURS = prefix .. 'usage_hours' -- hours of all tenants that have usage (`scope(tenant, hour)`), by hour
local DEAD_LETTERS = prefix .. 'dead_letters' -- count of failed messages of all tenants
local TRANSITIONS = prefix .. 'transitions' -- stream of changes of state: an entry for each script, see `record`
local TRANSITIONS_PRUNED = prefix .. 'transitions_pruned' -- the id of the last entry that was deleted
local changes = {} -- those of the present script
local CLAIMED_RANKS = prefix .. 'claimed_ranks' -- hash of the highest rank that was claimed, by level of priority
local FIGURES_HEAD = prefix .. 'figures_head' -- the id of the last change that is in the figures
local PAUSED, THROUGHPUT, CLOCK = prefix .. 'paused', prefix .. 'throughput', prefix .. 'clock'

-- Record a change that is no change of a message. `tenant` is '' for changes of the whole server.
local function record_other(kind, now, tenant, thread, agent, worker)
    changes[#changes + 1] = {now, tenant, kind, agent, '', -1, -1, -1, '', '', '', thread, '', worker}
end

-- The length in front distinguishes (a, b:c) and (a:b, c).
local function scope(tenant, thread) return #tenant .. ':' .. tenant .. ':' .. thread end

-- The messages of a flow (`turns.lua`) in the level of this rank: members by their own ranks.
local flow_keys = {} -- those that were asked for, by level, tenant and flow
local function flow_key(tenant, flow, rank)
    local level = math.floor(rank / 1000000000000000)
    local of_level = flow_keys[level] or {}
    local of_tenant = of_level[tenant] or {}
    flow_keys[level], of_level[tenant] = of_level, of_tenant
    local key = of_tenant[flow]
    if not key then
        key = prefix .. 'flow:' .. string.format('%.0f', level) .. ':' .. scope(tenant, flow)
        of_tenant[flow] = key
    end
    return key
end

local function message_key(id) return prefix .. 'message:' .. id end
local function content_key(id) return prefix .. 'content:' .. id end
local function result_key(id) return prefix .. 'result:' .. id end
local function log_key(id) return prefix .. 'log:' .. id end
local function attempts_key(id) return prefix .. 'attempts:' .. id end
local function deliveries_key(id) return prefix .. 'deliveries:' .. id end
-- A hash of counts by model, see `usage.lua`.
local function usage_key(id) return prefix .. 'usage:' .. id end
local function delivery_key(id) return prefix .. 'delivery:' .. id end
-- Exists for messages of deleted threads as long as request keys may name them.
local function deleted_key(id) return prefix .. 'deleted:' .. id end
local function api_key_key(id) return prefix .. 'api_key:' .. id end
local function worker_key(id) return prefix .. 'worker:' .. id end

-- Keys of a tenant: sorted sets `waiting`, `delayed`, `processing` (members by score), `threads` (by last activity),
-- `threads_created` (by creation), `empty` (threads without messages, by last activity), `logged` and `pruned` (ended messages
-- with their whole log and without, by their end),
-- `messages`, `failed`, `interrupted` (ids by number), `kinds` (fingerprints by the negative time of the newest failure),
-- `deliveries` (ids by creation time, one set for each state and event), `items` (namespaces with keys, all with score 0);
-- `usage_hours` (hours that have usage, by hour); hashes `tallies` (ended messages by state), `queued_by_priority` and
-- `settings` (the record of the tenant).
local function of_tenant(kind, tenant) return prefix .. 'tenant:' .. kind .. ':' .. tenant end

local QUEUES = {accepted = true, retry = true, released = true, lost = true, resumed = true, requeued = true}

-- Add the changes of the present script to the stream, and count the queued messages of tenants by priority.
local function keep_changes()
    if #changes == 0 then return end
    redis.call('XADD', TRANSITIONS, '*', 'changes', cmsgpack.pack(changes))
    local queued = {}
    local function count(change, number)
        local priorities = queued[change[2]] or {}
        priorities[change[5]] = (priorities[change[5]] or 0) + number
        queued[change[2]] = priorities
    end
    for _, change in ipairs(changes) do
        if QUEUES[change[3]] then
            count(change, 1)
        elseif change[13] == 'queued' and change[3] ~= 'priority' then
            count(change, -1)
        end
    end
    for tenant, priorities in pairs(queued) do
        for priority, number in pairs(priorities) do
            if number ~= 0 then redis.call('HINCRBY', of_tenant('queued_by_priority', tenant), priority, number) end
        end
    end
end

local function deliveries_of_kind(tenant, state, event) return of_tenant('deliveries:' .. state .. ':' .. event, tenant) end

-- Return the two names of a `scope`.
local function scoped(name)
    local length, rest = string.match(name, '^(%d+):(.*)$')
    return string.sub(rest, 1, length), string.sub(rest, length + 2)
end

-- A hash of counts by the JSON array of key, subject, agent and model.
local function hourly_usage_key(tenant, hour) return of_tenant('usage:' .. hour, tenant) end

-- The ready messages of an agent. Messages that wait for a version of it have a set for each version.
local function ready_key(agent, version)
    if not version then return prefix .. 'ready:' .. agent end
    return prefix .. 'ready_for:' .. scope(agent, version)
end

-- Sets of versions of agents: `first` and `last` by when they were seen, and `ready` if ready messages may wait for them.
local function versions_key(kind) return prefix .. 'versions:' .. kind end

-- The member of a version in these sets.
local function version_name(agent, version) return cjson.encode({agent, version}) end

-- Held messages, whose tenant runs as many as it may: a set of the tenants that have some, for each tenant a set `held` of
-- the versions of agents that have some, and for each of these the members by rank.
local HOLDING = prefix .. 'holding'
local function held_key(tenant, version) return prefix .. 'held:' .. scope(tenant, version) end

local function thread_key(tenant, thread) return prefix .. 'thread:' .. scope(tenant, thread) end
local function thread_queue_key(tenant, thread) return prefix .. 'thread_queue:' .. scope(tenant, thread) end
local function thread_messages_key(tenant, thread) return prefix .. 'thread_messages:' .. scope(tenant, thread) end
local function memory_of_thread(tenant, thread) return 'thread:' .. scope(tenant, thread) end
local function memory_of_message(tenant, id) return 'message:' .. scope(tenant, id) end
local function kind_key(tenant, fingerprint) return prefix .. 'kind:' .. scope(tenant, fingerprint) end
-- The figures of a tenant's period: values by JSON array of agent, priority and label.
local function figures_key(step, metric, start, tenant)
    return prefix .. 'figures:' .. step .. ':' .. metric .. ':' .. start .. ':' .. tenant
end

-- The keys of the figures of periods with this length, by their start.
local function figures_of(step) return prefix .. 'figures_by_start:' .. step end

local function alias_key(tenant, alias) return prefix .. 'alias:' .. scope(tenant, alias) end
local function item_name(tenant, member) return scope(tenant, member) end
local function item_key(name) return prefix .. 'item:' .. name end
local function request_key(tenant, key) return prefix .. 'request:' .. scope(tenant, key) end

-- Members of the sorted sets begin with the zero-padded number, so that equal scores are in the order of numbers.
local function member_of(number, id) return string.format('%016.0f', number) .. id end
local function id_of(member) return string.sub(member, 17) end
