-- List records of the audit log.
-- KEYS[1] key prefix
-- ARGV[1] number after which to continue or '', ARGV[2] '1' for the newest first, ARGV[3] maximum number of records to read,
-- ARGV[4] JSON of the wanted values by name (`app.models.audit.AuditFilter`)
-- Returns the number of the last record that was read, false at the end of the log, and {number, JSON} of each that matches.
-- include: keys

local wanted = cjson.decode(ARGV[4])

local function includes(list, wanted_value)
    for _, value in ipairs(list) do
        if value == wanted_value then return true end
    end
    return false
end

local function matches(record)
    for _, name in ipairs({'tenant', 'actor', 'action'}) do
        if wanted[name] and record[name] ~= wanted[name] then return false end
    end
    if wanted.target and not includes(record.targets, wanted.target) then return false end
    if wanted.since and record.at < wanted.since then return false end
    return not wanted['until'] or record.at < wanted['until']
end

local newest_first, begin = ARGV[2] == '1', ARGV[1] ~= '' and '(' .. ARGV[1] .. '-0'
local entries
if newest_first then
    entries = redis.call('XREVRANGE', AUDIT, begin or '+', '-', 'COUNT', ARGV[3])
else
    entries = redis.call('XRANGE', AUDIT, begin or '-', '+', 'COUNT', ARGV[3])
end
local found, last = {}, false
for _, entry in ipairs(entries) do
    last = string.match(entry[1], '^%d+')
    if matches(cjson.decode(entry[2][2])) then found[#found + 1] = {last, entry[2][2]} end
end
return {#entries == tonumber(ARGV[3]) and last, found}
