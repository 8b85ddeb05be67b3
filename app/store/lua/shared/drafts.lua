-- Abandon the draft of a thread: its memory is listed as dropped, and its id stays hidden until that is settled.
local function abandon(name)
    redis.call('HSET', HIDDEN, name, 'deleted')
    redis.call('ZREM', DRAFTS, name)
    redis.call('ZADD', DROPPED_MEMORIES, 0, 'thread:' .. name)
end
