-- Count the changes of state in entries of the stream, of one tenant or, with '', of all. The many that have no times are
-- counted together. Return {change, count} for each kind (`record`), and the number of changes.
local function counted(entries, tenant)
    local kinds, by_name, total = {}, {}, 0
    for _, entry in ipairs(entries) do
        for _, change in ipairs(cmsgpack.unpack(entry[2][2])) do
            if tenant == '' or change[2] == tenant then
                change[1] = change[1] - change[1] % 60000
                for i = 14, 11, -1 do change[i] = nil end
                local name = table.concat(change, '\0')
                local kind = by_name[name]
                if kind then
                    kind[2] = kind[2] + 1
                else
                    kind = {change, 1}
                    by_name[name], kinds[#kinds + 1] = kind, kind
                end
                total = total + 1
            end
        end
    end
    return kinds, total
end
