-- Create the queue unless it exists.
-- KEYS[1] key prefix
-- ARGV[1] schema version of this program, ARGV[2] an id for a new queue
-- Returns the schema version, false if keys under the prefix belong to another program.
-- include: keys

local SCHEMA = prefix .. 'schema'

local kind = redis.call('TYPE', SCHEMA).ok
if kind == 'string' then return redis.call('GET', SCHEMA) end
if kind ~= 'none' or redis.call('EXISTS', WAITING, DELAYED, LEASES, ENDED, PRUNABLE, WORKERS, INTERRUPTED, DUE,
    prefix .. 'number', prefix .. 'queue') > 0 then
    return false
end
redis.call('SET', prefix .. 'queue', ARGV[2])
redis.call('SET', SCHEMA, ARGV[1])
return ARGV[1]
