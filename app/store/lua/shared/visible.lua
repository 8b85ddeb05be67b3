-- Return a function of subject, thread and agent that tells whether the caller may see them, see `app.models.visibility`.
-- `subject` has = before it, '' for any. `narrowed` is JSON: `agents` and `threads` as objects with the allowed names, and the
-- allowed `prefix` of threads; '' for any. A nil `agent` stands for a thread.
local function visibility(subject, narrowed)
    local narrow = narrowed ~= '' and cjson.decode(narrowed) or {}
    local function shows_thread(thread)
        if not thread then return false end
        if narrow.threads[thread] then return true end
        return narrow.prefix ~= '' and string.sub(thread, 1, #narrow.prefix) == narrow.prefix
    end
    return function(of_subject, thread, agent)
        if subject ~= '' and (not of_subject or '=' .. of_subject ~= subject) then return false end
        if narrow.threads and not shows_thread(thread) then return false end
        return not agent or not narrow.agents or narrow.agents[agent] == true
    end
end
