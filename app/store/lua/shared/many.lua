-- Run a command with these first arguments and a thousand items of a list at a time: `unpack` has a limit.
local function by_thousands(list, ...)
    local first = {...}
    local count = #first
    for at = 1, #list, 1000 do
        local part = {unpack(first)}
        for i = at, math.min(at + 999, #list) do part[count + 1 + i - at] = list[i] end
        redis.call(unpack(part))
    end
end
