-- Return the answer to an earlier request with this key. Return nil if there is none, 'reused' if its fingerprint differs.
local function recall_request(request, fingerprint, oldest)
    local f = redis.call('HMGET', request, 'fingerprint', 'created_at', 'answer')
    if not f[1] or tonumber(f[2]) <= oldest then return nil end
    return f[1] == fingerprint and cmsgpack.unpack(f[3]) or 'reused'
end

-- Store the answer. The server deletes it after twice KEY_SECONDS, when it is out of use.
local function keep_request(request, fingerprint, now, answer)
    redis.call('HSET', request, 'fingerprint', fingerprint, 'created_at', now, 'answer', cmsgpack.pack(answer))
    redis.call('EXPIRE', request, 172800)
end
