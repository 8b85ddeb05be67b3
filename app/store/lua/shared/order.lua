-- Compare bytes, as sorted sets do. Lua's own comparison depends on the locale.
local function precedes(a, b)
    for i = 1, math.min(#a, #b) do
        local x, y = a:byte(i), b:byte(i)
        if x ~= y then return x < y end
    end
    return #a < #b
end
