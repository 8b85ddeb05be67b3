-- Times are milliseconds since the epoch, UTC. Every table that a caller can reach carries the tenant.

CREATE TABLE threads (
    tenant TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    last_number INTEGER NOT NULL,          -- thread_number of the newest message: thread order comes from this row only
    created_at INTEGER NOT NULL,
    last_activity INTEGER NOT NULL,
    last_message_preview TEXT NOT NULL,
    queued INTEGER NOT NULL DEFAULT 0,     -- the counts by state are kept by the triggers below
    processing INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, thread_id)
) WITHOUT ROWID;

CREATE INDEX threads_by_activity ON threads (tenant, last_activity, thread_id);

CREATE TABLE messages (
    -- Order of accepting, the tie-break of equal ranks. Never used again: the fences of the agents' memory count on it.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    thread_id TEXT,
    thread_number INTEGER NOT NULL,        -- 1..n within the thread, 0 without one
    agent TEXT NOT NULL,
    content TEXT NOT NULL,
    priority TEXT NOT NULL,
    base_rank INTEGER NOT NULL,            -- from its own priority and time, fixed at accept
    rank INTEGER,                          -- while it waits: the lowest base_rank of itself and those behind it in its
                                           -- thread; else NULL, so that the index of waiting messages needs no other term
    state TEXT NOT NULL,
    -- Only while queued. ready: may be claimed; blocked: an earlier message of its thread is unfinished;
    -- delayed: the head of its thread, but not before run_at.
    readiness TEXT CHECK ((readiness IS NOT NULL) = (state = 'queued')),
    run_at INTEGER NOT NULL DEFAULT 0,     -- not before; 0 for at once, whatever a clock does
    attempt INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,    -- leases that ran out
    fence INTEGER NOT NULL DEFAULT 0,      -- higher after each claim, rescue, release and cancel
    worker_id TEXT,
    lease_until INTEGER,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,           -- time of the last change of state
    started_at INTEGER,
    completed_at INTEGER,                  -- time of the terminal state, whichever it is
    result TEXT,
    error TEXT,
    error_code TEXT,
    log_pruned INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX messages_ready ON messages (agent, rank) WHERE readiness = 'ready';
CREATE INDEX messages_waiting ON messages (rank) WHERE rank IS NOT NULL;
CREATE INDEX messages_delayed ON messages (run_at) WHERE readiness = 'delayed';
CREATE UNIQUE INDEX messages_in_thread ON messages (tenant, thread_id, thread_number) WHERE thread_id IS NOT NULL;
CREATE INDEX messages_queued_in_thread ON messages (tenant, thread_id, thread_number, rank)
    WHERE state = 'queued' AND thread_id IS NOT NULL;
CREATE UNIQUE INDEX messages_one_running ON messages (tenant, thread_id)
    WHERE state = 'processing' AND thread_id IS NOT NULL;
CREATE INDEX messages_leased ON messages (lease_until) WHERE state = 'processing';
CREATE INDEX messages_ended ON messages (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX messages_with_log ON messages (completed_at) WHERE completed_at IS NOT NULL AND log_pruned = 0;

CREATE TABLE events (
    message INTEGER NOT NULL,              -- messages.number
    id INTEGER NOT NULL,                   -- 1..n within the message, dense
    type TEXT NOT NULL,
    data TEXT NOT NULL,                    -- one line of JSON, sent as it is
    created_at INTEGER NOT NULL,
    PRIMARY KEY (message, id)
) WITHOUT ROWID;

CREATE TABLE tallies (                     -- messages by state, so that no figure needs a count over the table
    tenant TEXT NOT NULL,
    state TEXT NOT NULL,
    messages INTEGER NOT NULL,
    PRIMARY KEY (state, tenant)
) WITHOUT ROWID;

CREATE TABLE levels (                      -- waiting messages by level of rank: what is far ahead need not be counted
    level INTEGER PRIMARY KEY,             -- rank / 10^15
    waiting INTEGER NOT NULL
);

CREATE TABLE queue (                       -- one row: which queue this is, so that the agents' memory can tell
    id TEXT PRIMARY KEY
) WITHOUT ROWID;

INSERT INTO queue (id) VALUES (lower(hex(randomblob(16))));

CREATE TABLE workers (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    slots INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    last_beat INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE hints (                       -- what other processes on this file should look at; a ring, pruned by its writer
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    process TEXT NOT NULL,
    topics TEXT NOT NULL                   -- JSON array
);

CREATE TRIGGER messages_added AFTER INSERT ON messages BEGIN
    INSERT INTO levels (level, waiting) VALUES (NEW.rank / 1000000000000000, 1)
    ON CONFLICT (level) DO UPDATE SET waiting = waiting + 1;
    INSERT INTO tallies (tenant, state, messages) VALUES (NEW.tenant, NEW.state, 1)
    ON CONFLICT (state, tenant) DO UPDATE SET messages = messages + 1;
    UPDATE threads SET queued = queued + 1 WHERE tenant = NEW.tenant AND thread_id = NEW.thread_id;
END;

CREATE TRIGGER messages_reranked AFTER UPDATE OF rank ON messages
WHEN OLD.rank / 1000000000000000 IS NOT NEW.rank / 1000000000000000 BEGIN
    UPDATE levels SET waiting = waiting - 1 WHERE level = OLD.rank / 1000000000000000;
    INSERT INTO levels (level, waiting) SELECT NEW.rank / 1000000000000000, 1 WHERE NEW.rank IS NOT NULL
    ON CONFLICT (level) DO UPDATE SET waiting = waiting + 1;
END;

CREATE TRIGGER messages_moved AFTER UPDATE OF state ON messages WHEN OLD.state <> NEW.state BEGIN
    UPDATE tallies SET messages = messages - 1 WHERE state = OLD.state AND tenant = OLD.tenant;
    INSERT INTO tallies (tenant, state, messages) VALUES (NEW.tenant, NEW.state, 1)
    ON CONFLICT (state, tenant) DO UPDATE SET messages = messages + 1;
    UPDATE threads SET
        queued = queued + (NEW.state = 'queued') - (OLD.state = 'queued'),
        processing = processing + (NEW.state = 'processing') - (OLD.state = 'processing'),
        completed = completed + (NEW.state = 'completed') - (OLD.state = 'completed'),
        failed = failed + (NEW.state = 'failed') - (OLD.state = 'failed'),
        cancelled = cancelled + (NEW.state = 'cancelled') - (OLD.state = 'cancelled'),
        last_activity = max(last_activity, NEW.changed_at)
    WHERE tenant = NEW.tenant AND thread_id = NEW.thread_id;
END;

CREATE TRIGGER messages_deleted AFTER DELETE ON messages BEGIN
    UPDATE tallies SET messages = messages - 1 WHERE state = OLD.state AND tenant = OLD.tenant;
    UPDATE threads SET
        completed = completed - (OLD.state = 'completed'),
        failed = failed - (OLD.state = 'failed'),
        cancelled = cancelled - (OLD.state = 'cancelled')
    WHERE tenant = OLD.tenant AND thread_id = OLD.thread_id;
    DELETE FROM events WHERE message = OLD.number;
END;
