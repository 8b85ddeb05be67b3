-- Retries, dead letters, cancels of running messages, questions to humans, keys of requests, deliveries of webhooks.
-- `threads.unfinished` counts interrupted messages too: their threads are closed. In `tallies` they have a row of their
-- own, so that `unfinished` there stays what is queued or processing.

ALTER TABLE threads ADD COLUMN interrupted BIGINT NOT NULL DEFAULT 0;  -- of the unfinished

ALTER TABLE queue ADD COLUMN paused BOOLEAN NOT NULL DEFAULT FALSE;

ALTER TABLE messages
    ADD COLUMN options TEXT,               -- JSON; nothing here asks for it
    ADD COLUMN cancel_requested BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN fingerprint TEXT COLLATE "C",  -- of the failure
    ADD COLUMN interrupt TEXT,             -- what a human is asked: a JSON array
    ADD COLUMN interrupt_expires_at BIGINT,  -- only while interrupted
    ADD COLUMN resume_value TEXT,          -- the answer: a JSON object
    ADD COLUMN rollback TEXT,              -- ids to be forgotten first: a JSON array
    ADD COLUMN webhook_url TEXT;

CREATE INDEX messages_of_tenant ON messages (tenant, number);
CREATE INDEX messages_failed ON messages (tenant, number) WHERE state = 'failed';
CREATE INDEX messages_failed_by_kind ON messages (tenant, fingerprint, completed_at) WHERE state = 'failed';
CREATE INDEX messages_interrupted ON messages (interrupt_expires_at, number) WHERE state = 'interrupted';
CREATE UNIQUE INDEX messages_interrupted_in_thread ON messages (tenant, thread_id)
    WHERE state = 'interrupted' AND thread_id IS NOT NULL;

CREATE TABLE attempts (                    -- those that failed
    message BIGINT NOT NULL,               -- messages.number
    fence BIGINT NOT NULL,                 -- of the attempt: in the order of time, and never twice
    attempt BIGINT NOT NULL,
    worker_id TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    error TEXT NOT NULL,
    error_code TEXT NOT NULL,
    PRIMARY KEY (message, fence)
);

CREATE TABLE request_keys (
    tenant TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    fingerprint TEXT NOT NULL,
    receipts TEXT NOT NULL,                -- what was answered: a JSON array
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, key)
);

CREATE INDEX request_keys_by_age ON request_keys (created_at);

CREATE TABLE deliveries (                  -- news of messages that ended, for their webhooks
    id TEXT COLLATE "C" PRIMARY KEY,
    tenant TEXT COLLATE "C" NOT NULL,
    message_id TEXT COLLATE "C" NOT NULL,
    thread_id TEXT COLLATE "C",
    url TEXT NOT NULL,
    event TEXT NOT NULL,                   -- the data of the terminal event
    state TEXT NOT NULL,
    tries BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    next_at BIGINT,                        -- only while pending
    attempts TEXT[] NOT NULL DEFAULT '{}'  -- a JSON object each
);

CREATE INDEX deliveries_due ON deliveries (next_at, id) WHERE state = 'pending';
CREATE INDEX deliveries_of_message ON deliveries (message_id, created_at, id);

-- A message that is delayed from the beginning has no rank.
CREATE OR REPLACE FUNCTION count_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO agent_queue.tallies AS tally (backend, tenant, state, messages)
    SELECT pg_backend_pid(), tenant, 'unfinished', count(*) FROM added GROUP BY tenant
    ON CONFLICT (backend, tenant, state) DO UPDATE SET messages = tally.messages + excluded.messages;
    INSERT INTO agent_queue.levels AS level (backend, level, waiting)
    SELECT pg_backend_pid(), rank / 1000000000000000, count(*) FROM added WHERE rank IS NOT NULL
    GROUP BY rank / 1000000000000000
    ON CONFLICT (backend, level) DO UPDATE SET waiting = level.waiting + excluded.waiting;
    RETURN NULL;
END $$;

-- The rows of `threads` are locked by whoever ends or interrupts a message or puts one back. Who requeues a message that
-- had ended has counted it as unfinished already, as who adds one (`enter_threads`).
CREATE OR REPLACE FUNCTION count_changed() RETURNS trigger LANGUAGE plpgsql SET enable_hashjoin = on AS $$
BEGIN
    INSERT INTO agent_queue.tallies AS tally (backend, tenant, state, messages)
    SELECT pg_backend_pid(), tenant, state, sum(messages) FROM (
        SELECT tenant, CASE WHEN state IN ('queued', 'processing') THEN 'unfinished' ELSE state END AS state,
            1 AS messages
        FROM later
        UNION ALL
        SELECT tenant, CASE WHEN state IN ('queued', 'processing') THEN 'unfinished' ELSE state END, -1 FROM earlier
    ) AS change GROUP BY tenant, state HAVING sum(messages) <> 0
    ON CONFLICT (backend, tenant, state) DO UPDATE SET messages = tally.messages + excluded.messages;
    INSERT INTO agent_queue.levels AS level (backend, level, waiting)
    SELECT pg_backend_pid(), change.level, sum(waiting) FROM (
        SELECT rank / 1000000000000000 AS level, 1 AS waiting FROM later WHERE rank IS NOT NULL
        UNION ALL
        SELECT rank / 1000000000000000, -1 FROM earlier WHERE rank IS NOT NULL
    ) AS change GROUP BY change.level HAVING sum(waiting) <> 0
    ON CONFLICT (backend, level) DO UPDATE SET waiting = level.waiting + excluded.waiting;
    UPDATE agent_queue.threads AS thread SET
        unfinished = thread.unfinished - change.ended,
        completed = thread.completed + change.completed,
        failed = thread.failed + change.failed,
        cancelled = thread.cancelled + change.cancelled,
        interrupted = thread.interrupted + change.interrupted,
        last_activity = greatest(last_activity, change.changed_at)
    FROM (
        SELECT later.tenant, later.thread_id, max(later.changed_at) AS changed_at,
            count(later.completed_at) AS ended,
            count(*) FILTER (WHERE later.state = 'completed') AS completed,
            count(*) FILTER (WHERE later.state = 'failed') - count(*) FILTER (WHERE earlier.state = 'failed') AS failed,
            count(*) FILTER (WHERE later.state = 'cancelled') AS cancelled,
            count(*) FILTER (WHERE later.state = 'interrupted')
                - count(*) FILTER (WHERE earlier.state = 'interrupted') AS interrupted
        FROM later JOIN earlier ON earlier.id = later.id  -- a message that is requeued gets another number
        WHERE later.thread_id IS NOT NULL AND later.state <> earlier.state AND later.state <> 'processing'
        GROUP BY later.tenant, later.thread_id
    ) AS change
    WHERE thread.tenant = change.tenant AND thread.thread_id = change.thread_id;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION count_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO agent_queue.tallies AS tally (backend, tenant, state, messages)
    SELECT pg_backend_pid(), tenant, state, -count(*) FROM deleted GROUP BY tenant, state
    ON CONFLICT (backend, tenant, state) DO UPDATE SET messages = tally.messages + excluded.messages;
    UPDATE agent_queue.threads AS thread SET
        completed = thread.completed - change.completed,
        failed = thread.failed - change.failed,
        cancelled = thread.cancelled - change.cancelled
    FROM (
        SELECT tenant, thread_id,
            count(*) FILTER (WHERE state = 'completed') AS completed,
            count(*) FILTER (WHERE state = 'failed') AS failed,
            count(*) FILTER (WHERE state = 'cancelled') AS cancelled
        FROM deleted WHERE thread_id IS NOT NULL GROUP BY tenant, thread_id
    ) AS change
    WHERE thread.tenant = change.tenant AND thread.thread_id = change.thread_id;
    DELETE FROM agent_queue.events USING deleted WHERE events.message = deleted.number;
    DELETE FROM agent_queue.attempts USING deleted WHERE attempts.message = deleted.number;
    DELETE FROM agent_queue.deliveries USING deleted WHERE deliveries.message_id = deleted.id;
    RETURN NULL;
END $$;

-- What failed before has no other sort than its code.
UPDATE messages SET fingerprint = error_code WHERE state = 'failed';
