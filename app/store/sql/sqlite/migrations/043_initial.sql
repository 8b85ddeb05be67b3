-- Times are milliseconds since the epoch, UTC. Every table that a caller can reach carries the tenant.

CREATE TABLE threads (
    tenant TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    subject TEXT,                          -- the end user of its first message; NULL for none; never changes
    last_number INTEGER NOT NULL,          -- thread_number of the newest message: thread order comes from this row only
    created_at INTEGER NOT NULL,
    last_activity INTEGER NOT NULL,
    last_message_preview TEXT NOT NULL,
    name TEXT,
    metadata TEXT,                         -- JSON texts by key, see `app.store.metadata`
    forked_from TEXT,                      -- JSON, see `app.models.threads.ForkSource`; NULL unless it was forked
    ttl_ms INTEGER,                        -- without activity until it is deleted; NULL for the server's setting
    -- NULL for readers' threads. draft: a fork is copying its memory; deleted: until its memory is deleted too.
    hidden TEXT CHECK (hidden IN ('draft', 'deleted')),
    queued INTEGER NOT NULL DEFAULT 0,     -- the counts by state are kept by the triggers below
    processing INTEGER NOT NULL DEFAULT 0,
    interrupted INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    last_ended TEXT,                       -- the state of the message that ended last; NULL if none has; by a trigger
    status TEXT GENERATED ALWAYS AS (      -- see `app.models.threads.ThreadStatus`
        CASE
            WHEN interrupted > 0 THEN 'interrupted'
            WHEN queued + processing > 0 THEN 'busy'
            WHEN last_ended = 'failed' AND failed > 0 THEN 'error'
            ELSE 'idle'
        END
    ) VIRTUAL,
    PRIMARY KEY (tenant, thread_id)
) WITHOUT ROWID;

CREATE INDEX threads_by_activity ON threads (tenant, last_activity, thread_id);
CREATE INDEX threads_by_creation ON threads (tenant, created_at, thread_id);
CREATE INDEX threads_by_status ON threads (tenant, status, last_activity, thread_id) WHERE status <> 'idle';
CREATE INDEX threads_of_subject ON threads (tenant, subject, last_activity, thread_id) WHERE subject IS NOT NULL;
CREATE INDEX threads_empty ON threads (tenant, last_activity)
    WHERE queued + processing + interrupted + completed + failed + cancelled = 0;
CREATE INDEX threads_with_ttl ON threads (last_activity + ttl_ms) WHERE ttl_ms IS NOT NULL;
CREATE INDEX threads_hidden ON threads (created_at) WHERE hidden IS NOT NULL;

CREATE TABLE messages (
    -- Order of accepting; breaks ties of equal ranks. Never reused, since the fences of the agents' memory contain it.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    thread_id TEXT,
    thread_number INTEGER NOT NULL,        -- 1..n within the thread; 0 without a thread
    agent TEXT NOT NULL,
    priority TEXT NOT NULL,
    base_rank INTEGER NOT NULL,            -- from its own priority and its turn, fixed when it joins the queue
    flow TEXT,                             -- whose turns it takes, see `app.policy.rank.Flow`; NULL before its `run_at`,
                                           -- and if it was cancelled before its first attempt
    rank INTEGER,                          -- while it waits: the lowest base_rank of itself and the messages behind it in
                                           -- its thread; else NULL, so that an index finds waiting messages by it
    state TEXT NOT NULL,
    -- Only while queued. ready: may be claimed; blocked: an earlier message of its thread is unfinished;
    -- delayed: the head of its thread, but not before run_at; held: its tenant runs as many messages as it may.
    readiness TEXT CHECK ((readiness IS NOT NULL) = (state = 'queued')),
    run_at INTEGER NOT NULL DEFAULT 0,     -- must not run before; 0 for at once
    attempt INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,    -- leases that ran out
    fence INTEGER NOT NULL DEFAULT 0,      -- higher after each claim, rescue, release and cancel
    worker_id TEXT,
    lease_until INTEGER,
    created_at INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,          -- created_at, or the time of the last requeue
    changed_at INTEGER NOT NULL,           -- time of the last change of state
    started_at INTEGER,
    completed_at INTEGER,                  -- time of the terminal state, whichever it is
    log_pruned INTEGER NOT NULL DEFAULT 0,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    interrupt_expires_at INTEGER,          -- only while interrupted
    error_code TEXT,
    fingerprint TEXT,                      -- of the failure
    rollback TEXT,                         -- ids to roll back first: a JSON array
    webhook_url TEXT,
    webhook_key TEXT,                      -- the API key whose secret signs; NULL for the server's secret
    webhook_events TEXT,                   -- states to deliver: a JSON array; NULL for all terminal states
    receivers TEXT,                        -- who gets its events beside the webhook: a JSON array; NULL for nobody
    metadata TEXT,                         -- canonical JSON, see `app.store.metadata`; NULL for none
    subject TEXT,                          -- the end user to whom it belongs; NULL for none; never changes
    key_id TEXT,                           -- the API key that its submit presented; NULL for none
    trace TEXT,                            -- the text of a `Trace`, see `app.models.traces`; NULL for none
    agent_version TEXT NOT NULL DEFAULT '', -- the version of the agent that may claim it; '' for any
    -- Long texts come last, so that the columns before them are read without them.
    error TEXT,
    interrupt TEXT,                        -- the questions to a human: a JSON array
    resume_value TEXT,                     -- the answer: a JSON object
    content TEXT NOT NULL,
    result TEXT,
    output TEXT,                           -- JSON, if the run has more output than text
    options TEXT                           -- JSON; last, since lists do not read it and it may have megabytes
);

CREATE INDEX messages_ready ON messages (agent, agent_version, rank) WHERE readiness = 'ready';
CREATE INDEX messages_waiting ON messages (rank) WHERE rank IS NOT NULL;
CREATE INDEX messages_of_flow ON messages (tenant, flow, base_rank) WHERE flow IS NOT NULL;
CREATE INDEX messages_delayed ON messages (run_at) WHERE readiness = 'delayed';
CREATE INDEX messages_held ON messages (tenant, agent, agent_version, rank) WHERE readiness = 'held';
CREATE UNIQUE INDEX messages_in_thread ON messages (tenant, thread_id, thread_number) WHERE thread_id IS NOT NULL;
CREATE INDEX messages_queued_in_thread ON messages (tenant, thread_id, thread_number, rank)
    WHERE state = 'queued' AND thread_id IS NOT NULL;
CREATE UNIQUE INDEX messages_one_running ON messages (tenant, thread_id)
    WHERE state = 'processing' AND thread_id IS NOT NULL;
CREATE UNIQUE INDEX messages_interrupted_in_thread ON messages (tenant, thread_id)
    WHERE state = 'interrupted' AND thread_id IS NOT NULL;
CREATE INDEX messages_leased ON messages (tenant, lease_until) WHERE state = 'processing';  -- counts those of a tenant too
CREATE INDEX messages_interrupted ON messages (interrupt_expires_at) WHERE state = 'interrupted';
CREATE INDEX messages_ended ON messages (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX messages_by_end ON messages (tenant, log_pruned, completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX messages_of_tenant ON messages (tenant, number);
CREATE INDEX messages_of_subject ON messages (tenant, subject, number) WHERE subject IS NOT NULL;
CREATE INDEX messages_failed ON messages (tenant, number) WHERE state = 'failed';
CREATE INDEX messages_failed_by_kind ON messages (tenant, fingerprint, completed_at) WHERE state = 'failed';
CREATE INDEX messages_cancelled ON messages (tenant, number) WHERE state = 'cancelled';

CREATE TABLE events (
    message INTEGER NOT NULL,              -- messages.number
    id INTEGER NOT NULL,                   -- 1..n within the message, dense
    type TEXT NOT NULL,
    data TEXT NOT NULL,                    -- one line of JSON, sent as it is
    created_at INTEGER NOT NULL,
    PRIMARY KEY (message, id)
) WITHOUT ROWID;

CREATE TABLE dropped_logs (                -- logs of requeued and deleted messages; their events are deleted in parts
    message INTEGER PRIMARY KEY            -- as in `events`
);

CREATE TABLE dropped_memories (            -- agents' memories that nothing needs any more, until they are deleted
    tenant TEXT NOT NULL,
    thread_id TEXT NOT NULL,  -- '' for a message without a thread
    message_id TEXT NOT NULL, -- '' for a thread
    PRIMARY KEY (tenant, thread_id, message_id)
) WITHOUT ROWID;

CREATE TABLE attempts (                    -- failed attempts
    message INTEGER NOT NULL,              -- messages.number
    attempt INTEGER NOT NULL,
    worker_id TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    error TEXT NOT NULL,
    error_code TEXT NOT NULL,
    details TEXT                           -- where it failed: JSON; no query reads it
);

CREATE INDEX attempts_of_message ON attempts (message);

CREATE TABLE message_usage (               -- what the model calls of all attempts used
    message_id TEXT NOT NULL,
    model TEXT NOT NULL,
    calls INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_nanos INTEGER NOT NULL,           -- nano-dollars
    unpriced_calls INTEGER NOT NULL,       -- calls whose cost is unknown
    PRIMARY KEY (message_id, model)
) WITHOUT ROWID;

CREATE TABLE hourly_usage (                -- the same over all messages, deleted ones too; '' stands for none
    tenant TEXT NOT NULL,
    hour INTEGER NOT NULL,                 -- since the epoch, UTC
    key TEXT NOT NULL,                     -- `messages.key_id`
    subject TEXT NOT NULL,
    agent TEXT NOT NULL,
    model TEXT NOT NULL,
    calls INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_nanos INTEGER NOT NULL,           -- nano-dollars
    unpriced_calls INTEGER NOT NULL,       -- calls whose cost is unknown
    PRIMARY KEY (tenant, hour, key, subject, agent, model)
) WITHOUT ROWID;

CREATE INDEX hourly_usage_by_hour ON hourly_usage (hour);

CREATE TABLE aliases (                     -- further ids of messages
    tenant TEXT NOT NULL,
    alias TEXT NOT NULL,
    message_id TEXT NOT NULL,
    first_event INTEGER NOT NULL,          -- the first event that belongs to the alias, 0 for an alias of the submit
    PRIMARY KEY (tenant, alias)
) WITHOUT ROWID;

CREATE INDEX aliases_of_message ON aliases (message_id);

CREATE TABLE request_keys (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    receipts TEXT NOT NULL,                -- of the answer: a JSON array
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) WITHOUT ROWID;

CREATE INDEX request_keys_by_age ON request_keys (created_at);

CREATE TABLE limits (                      -- counts of limits and quotas, see `app.policy.limits`
    name TEXT PRIMARY KEY,             -- has no text of users
    value INTEGER NOT NULL,
    expires_at INTEGER NOT NULL            -- out of use from then on. No index, since each submit would change it
) WITHOUT ROWID;

CREATE TABLE deleted_messages (            -- of deleted threads, as long as request keys may name them
    id TEXT PRIMARY KEY,
    deleted_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX deleted_messages_by_age ON deleted_messages (deleted_at);

CREATE TABLE items (                       -- what agents keep across threads
    tenant TEXT NOT NULL,
    namespace TEXT NOT NULL,               -- its labels, see `app.models.items`
    key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER,                    -- NULL for never
    ttl_ms INTEGER,
    value TEXT NOT NULL,                   -- the JSON of an object
    PRIMARY KEY (tenant, namespace, key)
) WITHOUT ROWID;

CREATE INDEX items_expiring ON items (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,                  -- separated by spaces
    created_at INTEGER NOT NULL,
    expires_at INTEGER,                    -- NULL for never
    revoked_at INTEGER,
    last_used_at INTEGER,                  -- up to a minute late
    secret_hash TEXT NOT NULL,
    previous_hash TEXT,                    -- of the secret before the last rotation
    previous_until INTEGER,
    webhook_url TEXT,                      -- of messages that are submitted with the key and have none
    signs_webhooks INTEGER NOT NULL DEFAULT 0,
    webhook_secret TEXT,                    -- signs the webhooks of the key's messages, so it is not a hash
    limits TEXT NOT NULL,                   -- the JSON of `app.models.keys.KeyLimits`, without those that are None
    quotas TEXT NOT NULL                    -- the JSON of `app.models.tenants.Quotas`, likewise
) WITHOUT ROWID;

CREATE TABLE signing_secrets (             -- of tokens and tickets; two are kept
    id TEXT PRIMARY KEY,
    secret TEXT NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE TABLE ended_tokens (                -- whose tokens were ended at which revision
    tenant TEXT NOT NULL,
    subject TEXT NOT NULL,                      -- '' for all of the tenant
    revision INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, subject)
);

CREATE TABLE used_tickets (
    id TEXT PRIMARY KEY,
    used_at INTEGER NOT NULL
);

CREATE INDEX used_tickets_by_age ON used_tickets (used_at);

CREATE TABLE access (revision INTEGER NOT NULL);  -- raised by every change of keys and tokens

INSERT INTO access (revision) VALUES (0);

CREATE TABLE tenants (                     -- tenants that were given settings
    tenant TEXT PRIMARY KEY,
    weight REAL NOT NULL,                 -- share of the workers beside other tenants
    limits TEXT NOT NULL,                  -- the JSON of a `app.models.tenants.TenantLimits`, without those that are None
    running INTEGER GENERATED ALWAYS AS (limits ->> 'running') VIRTUAL,  -- one of them, for claims
    quotas TEXT NOT NULL,                  -- the JSON of a `Quotas`, likewise
    subject_quotas TEXT NOT NULL,          -- likewise, for each end user
    retention_days REAL,                  -- NULL for the server's setting
    event_retention_hours REAL,           -- NULL for the server's setting
    revision INTEGER NOT NULL,             -- of `access`, after the last change
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX tenants_limited ON tenants (tenant) WHERE running > 0;

CREATE TABLE erasures (                    -- of all that belongs to a thread, a subject or a tenant
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,                    -- thread, subject or tenant
    name TEXT NOT NULL,                    -- of the thread or subject; '' for a tenant, and once it is completed
    actor TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,                      -- NULL while it works
    busy_until INTEGER NOT NULL DEFAULT 0, -- until then, a process works on it
    counts TEXT NOT NULL DEFAULT '{}'      -- removed objects by kind: JSON
) WITHOUT ROWID;

CREATE UNIQUE INDEX erasures_running ON erasures (tenant, kind, name) WHERE ended_at IS NULL;
CREATE INDEX erasures_by_start ON erasures (started_at, id);

CREATE TABLE erased_names (                -- ids of erased threads and messages, until no record names them
    erasure TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (erasure, name)
) WITHOUT ROWID;

CREATE TABLE audit (                       -- what operators and callers changed
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,                   -- `app.models.audit` describes the columns
    key_id TEXT,
    address TEXT,
    action TEXT NOT NULL,
    tenant TEXT,                           -- NULL for all tenants
    targets TEXT NOT NULL,                 -- JSON
    details TEXT NOT NULL                  -- JSON
);

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
WHEN NOT EXISTS (SELECT 1 FROM erasures WHERE ended_at IS NULL AND tenant = OLD.tenant)
    OR (NEW.number, NEW.at, NEW.action, NEW.tenant) IS NOT (OLD.number, OLD.at, OLD.action, OLD.tenant)
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;

CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;

CREATE TABLE deliveries (                  -- events of messages, for their webhooks
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    message_id TEXT NOT NULL,
    thread_id TEXT,
    url TEXT NOT NULL,
    event TEXT NOT NULL,                   -- the state that the message entered
    state TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    next_at INTEGER,                       -- only while pending
    attempts TEXT NOT NULL DEFAULT '[]',   -- a JSON array
    receiver TEXT,                         -- the key of a receiver of the message; NULL for its webhook
    data TEXT NOT NULL                     -- of the event; last, so that lists need not read long data
);

CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state = 'pending';
CREATE INDEX deliveries_of_message ON deliveries (message_id, created_at, id);
CREATE INDEX deliveries_by_kind ON deliveries (tenant, state, event, created_at, id);

CREATE TABLE tallies (                     -- messages by state, so that totals need no count over the table
    tenant TEXT NOT NULL,
    state TEXT NOT NULL,
    priority TEXT NOT NULL,                -- only of queued messages, else ''
    messages INTEGER NOT NULL,
    PRIMARY KEY (state, tenant, priority)
) WITHOUT ROWID;

CREATE TABLE levels (                      -- waiting messages by level of rank, so that a position needs few counts
    level INTEGER PRIMARY KEY,             -- rank / 10^15
    waiting INTEGER NOT NULL
);

CREATE TABLE claimed_ranks (               -- the highest rank that was claimed in each level
    level INTEGER PRIMARY KEY,
    rank INTEGER NOT NULL
);

INSERT INTO claimed_ranks (level, rank) VALUES (0, 0), (1, 0), (2, 0);

CREATE TABLE transitions (                 -- changes, in the order of their commits; the oldest are deleted first
    number INTEGER PRIMARY KEY,            -- without holes, and never reused, since the newest row stays
    at INTEGER NOT NULL,
    tenant TEXT NOT NULL,                  -- '' for changes of the whole server
    type TEXT NOT NULL,                    -- `app.models.transitions`
    message_id TEXT NOT NULL,              -- '' if it is no change of a message; so are agent and priority
    thread_id TEXT,
    agent TEXT NOT NULL,
    priority TEXT NOT NULL,
    before TEXT,                           -- the state of the message before the change
    worker_id TEXT,                        -- only of changes of workers
    wait_ms INTEGER,                       -- only of the first attempt: from the submit, or from run_at
    first_token_ms INTEGER,                -- only of completed messages: from the first attempt to the first piece of text
    run_ms INTEGER,                        -- only of completed messages: from the first attempt
    error_code TEXT,
    usage TEXT                             -- only of model calls: the fields of `app.models.usage.Tokens`, separated by spaces
);

CREATE TABLE figures (                     -- sums over transitions
    tenant TEXT NOT NULL,
    step INTEGER NOT NULL,                 -- length of the period: 60, 3600 or 86400 seconds
    metric TEXT NOT NULL,                  -- `app.models.statistics.Metric`
    start INTEGER NOT NULL,                -- of the period
    agent TEXT NOT NULL,
    priority TEXT NOT NULL,
    label TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (tenant, step, metric, start, agent, priority, label)
) WITHOUT ROWID;

CREATE INDEX figures_by_age ON figures (step, start);

CREATE TABLE figures_head (folded INTEGER NOT NULL);  -- the number of the last transition that is in `figures`

INSERT INTO figures_head (folded) VALUES (0);

CREATE TABLE queue (                       -- one row
    id TEXT PRIMARY KEY,                   -- identifies the queue in the agents' memory
    paused INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

INSERT INTO queue (id) VALUES (lower(hex(randomblob(16))));

CREATE TABLE workers (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    slots INTEGER NOT NULL,
    agents TEXT NOT NULL,                  -- a JSON array; empty if the worker does not name them
    load TEXT NOT NULL,                    -- JSON of `app.models.workers.WorkerLoad`; empty if the worker does not tell it
    started_at INTEGER NOT NULL,
    last_beat INTEGER NOT NULL,
    clock_ahead_ms INTEGER NOT NULL,       -- the clock of its host minus the store's time
    state TEXT NOT NULL                    -- 'active', 'draining' or 'drained'
) WITHOUT ROWID;

CREATE TABLE agents (                      -- what workers tell of their agents
    name TEXT PRIMARY KEY,
    description TEXT NOT NULL,             -- JSON
    described_at INTEGER NOT NULL          -- when a worker last told it; milliseconds
) WITHOUT ROWID;

CREATE TABLE agent_versions (              -- versions of agents that live workers have or had
    agent TEXT NOT NULL,
    version TEXT NOT NULL,
    first_seen INTEGER NOT NULL,           -- the start of its first worker
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (agent, version)
) WITHOUT ROWID;

-- The store's own time, which goes on when the host's clock is stepped: one row, see `app.clock.ClockState`.
CREATE TABLE clock (
    epoch INTEGER NOT NULL,                -- number of steps that were corrected
    correction INTEGER NOT NULL,           -- store time minus the host's at `since`, in milliseconds; it shrinks with time
    since INTEGER NOT NULL,
    seen INTEGER NOT NULL,                 -- a recent store time
    boot TEXT NOT NULL,                    -- the start of the host from which `noted` counts
    ahead INTEGER NOT NULL,                -- wall clock minus the clock that is never stepped, in milliseconds
    noted INTEGER NOT NULL
);

INSERT INTO clock (epoch, correction, since, seen, boot, ahead, noted) VALUES (0, 0, 0, 0, '', 0, 0);

CREATE TABLE hints (                       -- for other processes on this file; only the newest rows are kept
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    process TEXT NOT NULL,
    topics TEXT NOT NULL                   -- JSON array
);

CREATE TRIGGER messages_added AFTER INSERT ON messages BEGIN
    INSERT INTO levels (level, waiting) SELECT NEW.rank / 1000000000000000, 1 WHERE NEW.rank IS NOT NULL
    ON CONFLICT (level) DO UPDATE SET waiting = waiting + 1;
    INSERT INTO tallies (tenant, state, priority, messages)
    VALUES (NEW.tenant, NEW.state, iif(NEW.state = 'queued', NEW.priority, ''), 1)
    ON CONFLICT (state, tenant, priority) DO UPDATE SET messages = messages + 1;
    UPDATE threads SET queued = queued + 1 WHERE tenant = NEW.tenant AND thread_id = NEW.thread_id;
    INSERT INTO transitions (at, tenant, type, message_id, thread_id, agent, priority)
    VALUES (NEW.created_at, NEW.tenant, 'accepted', NEW.id, NEW.thread_id, NEW.agent, NEW.priority);
END;

CREATE TRIGGER messages_reranked AFTER UPDATE OF rank ON messages
WHEN OLD.rank / 1000000000000000 IS NOT NEW.rank / 1000000000000000 BEGIN
    UPDATE levels SET waiting = waiting - 1 WHERE level = OLD.rank / 1000000000000000;
    INSERT INTO levels (level, waiting) SELECT NEW.rank / 1000000000000000, 1 WHERE NEW.rank IS NOT NULL
    ON CONFLICT (level) DO UPDATE SET waiting = waiting + 1;
END;

CREATE TRIGGER messages_moved AFTER UPDATE OF state ON messages WHEN OLD.state <> NEW.state BEGIN
    UPDATE tallies SET messages = messages - 1
    WHERE state = OLD.state AND tenant = OLD.tenant AND priority = iif(OLD.state = 'queued', OLD.priority, '');
    INSERT INTO tallies (tenant, state, priority, messages)
    VALUES (NEW.tenant, NEW.state, iif(NEW.state = 'queued', NEW.priority, ''), 1)
    ON CONFLICT (state, tenant, priority) DO UPDATE SET messages = messages + 1;
    UPDATE threads SET
        queued = queued + (NEW.state = 'queued') - (OLD.state = 'queued'),
        processing = processing + (NEW.state = 'processing') - (OLD.state = 'processing'),
        completed = completed + (NEW.state = 'completed') - (OLD.state = 'completed'),
        failed = failed + (NEW.state = 'failed') - (OLD.state = 'failed'),
        cancelled = cancelled + (NEW.state = 'cancelled') - (OLD.state = 'cancelled'),
        interrupted = interrupted + (NEW.state = 'interrupted') - (OLD.state = 'interrupted'),
        last_ended = iif(NEW.completed_at IS NULL, last_ended, NEW.state),
        last_activity = max(last_activity, NEW.changed_at)
    WHERE tenant = NEW.tenant AND thread_id = NEW.thread_id;
    INSERT INTO transitions (
        at, tenant, type, message_id, thread_id, agent, priority, before, wait_ms, first_token_ms, run_ms, error_code
    ) VALUES (
        NEW.changed_at, NEW.tenant,
        CASE
            WHEN NEW.state <> 'queued' THEN NEW.state
            WHEN OLD.state = 'failed' THEN 'requeued'
            WHEN OLD.state = 'interrupted' THEN 'resumed'
            WHEN NEW.crashes > OLD.crashes THEN 'lost'
            WHEN NEW.attempt < OLD.attempt THEN 'released'
            ELSE 'retry'
        END,
        NEW.id, NEW.thread_id, NEW.agent, NEW.priority, OLD.state,
        CASE WHEN OLD.started_at IS NULL THEN NEW.started_at - max(NEW.created_at, NEW.run_at) END,
        CASE WHEN NEW.state = 'completed' THEN (
            SELECT created_at FROM events WHERE message = NEW.number AND type = 'chunk' ORDER BY id LIMIT 1
        ) - NEW.started_at END,
        CASE WHEN NEW.state = 'completed' THEN NEW.completed_at - NEW.started_at END,
        CASE WHEN NEW.state = 'failed' THEN NEW.error_code END
    );
END;

CREATE TRIGGER messages_reprioritized AFTER UPDATE OF priority ON messages
WHEN OLD.state = 'queued' AND NEW.state = 'queued' AND OLD.priority <> NEW.priority BEGIN
    UPDATE tallies SET messages = messages - 1 WHERE state = 'queued' AND tenant = OLD.tenant AND priority = OLD.priority;
    INSERT INTO tallies (tenant, state, priority, messages) VALUES (NEW.tenant, 'queued', NEW.priority, 1)
    ON CONFLICT (state, tenant, priority) DO UPDATE SET messages = messages + 1;
END;

CREATE TRIGGER messages_deleted AFTER DELETE ON messages BEGIN
    UPDATE tallies SET messages = messages - 1
    WHERE state = OLD.state AND tenant = OLD.tenant AND priority = iif(OLD.state = 'queued', OLD.priority, '');
    UPDATE threads SET
        completed = completed - (OLD.state = 'completed'),
        failed = failed - (OLD.state = 'failed'),
        cancelled = cancelled - (OLD.state = 'cancelled')
    WHERE tenant = OLD.tenant AND thread_id = OLD.thread_id;
    INSERT INTO dropped_logs (message) VALUES (OLD.number);
    DELETE FROM attempts WHERE message = OLD.number;
    DELETE FROM deliveries WHERE message_id = OLD.id;
    DELETE FROM aliases WHERE message_id = OLD.id;
    DELETE FROM message_usage WHERE message_id = OLD.id;
END;

CREATE TRIGGER workers_started AFTER INSERT ON workers BEGIN
    INSERT INTO transitions (at, tenant, type, message_id, agent, priority, worker_id)
    VALUES (NEW.started_at, '', 'worker.started', '', '', '', NEW.id);
END;

CREATE TRIGGER workers_drained AFTER UPDATE OF state ON workers WHEN OLD.state = 'draining' AND NEW.state = 'drained' BEGIN
    INSERT INTO transitions (at, tenant, type, message_id, agent, priority, worker_id)
    VALUES (NEW.last_beat, '', 'worker.drained', '', '', '', NEW.id);
END;

CREATE TRIGGER agents_added AFTER INSERT ON agents BEGIN
    INSERT INTO transitions (at, tenant, type, message_id, agent, priority)
    VALUES (NEW.described_at, '', 'agent.changed', '', NEW.name, '');
END;

CREATE TRIGGER agents_changed AFTER UPDATE OF description ON agents WHEN OLD.description <> NEW.description BEGIN
    INSERT INTO transitions (at, tenant, type, message_id, agent, priority)
    VALUES (NEW.described_at, '', 'agent.changed', '', NEW.name, '');
END;
