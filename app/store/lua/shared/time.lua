-- Return the store's time (`app.clock`) in milliseconds and microseconds since the epoch, from the caller's milliseconds.
local function clock(given) return tonumber(given), tonumber(given) * 1000 end

local function time(given) return tonumber(given) end

-- Return the next number or fence, as text since Lua would write an exponent. It is at least the clock, and therefore above
-- numbers and fences that a server lost in a crash or failover.
local function above(last, microseconds)
    return string.format('%.0f', math.max(tonumber(last or 0) + 1, microseconds))
end

-- Return a time in RFC 3339 with milliseconds and Z, in the proleptic Gregorian calendar.
local function rfc3339(milliseconds)
    local days = math.floor(milliseconds / 86400000)
    local rest = milliseconds - days * 86400000
    days = days + 719468
    local era = math.floor(days / 146097)
    local day_of_era = days - era * 146097
    local year_of_era = math.floor((day_of_era - math.floor(day_of_era / 1460) + math.floor(day_of_era / 36524)
        - math.floor(day_of_era / 146096)) / 365)
    local day_of_year = day_of_era - (365 * year_of_era + math.floor(year_of_era / 4) - math.floor(year_of_era / 100))
    local shifted = math.floor((5 * day_of_year + 2) / 153)
    local month = shifted < 10 and shifted + 3 or shifted - 9
    return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ',
        year_of_era + era * 400 + (month <= 2 and 1 or 0), month,
        day_of_year - math.floor((153 * shifted + 2) / 5) + 1,
        math.floor(rest / 3600000), math.floor(rest / 60000) % 60, math.floor(rest / 1000) % 60, rest % 1000)
end

-- Make an event from its template: replace \1 and a letter by a value; \1N is the time of the event. For megabytes, a plain search takes a tenth of the
-- time of `gsub`; for short templates it takes longer.
local function fill(template, values)
    if #template < 4096 then return (string.gsub(template, '\1(%a)', values)) end
    local parts, from, at = {}, 1, string.find(template, '\1', 1, true)
    while at do
        parts[#parts + 1] = string.sub(template, from, at - 1)
        parts[#parts + 1] = values[string.sub(template, at + 1, at + 1)]
        from, at = at + 2, string.find(template, '\1', at + 2, true)
    end
    parts[#parts + 1] = string.sub(template, from)
    return table.concat(parts)
end
