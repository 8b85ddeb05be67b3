-- Lua's own comparison goes by the server's locale, that of sorted sets by bytes.
local function precedes(a, b)
    for i = 1, math.min(#a, #b) do
        local x, y = a:byte(i), b:byte(i)
        if x ~= y then return x < y end
    end
    return #a < #b
end
