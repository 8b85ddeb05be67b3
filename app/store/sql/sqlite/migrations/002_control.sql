-- Retries, dead letters, cancels of running messages, questions to humans, keys of requests, deliveries of webhooks.

ALTER TABLE threads ADD COLUMN interrupted INTEGER NOT NULL DEFAULT 0;

ALTER TABLE queue ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;

ALTER TABLE messages ADD COLUMN options TEXT;                            -- JSON; nothing here asks for it
ALTER TABLE messages ADD COLUMN cancel_requested INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN fingerprint TEXT;                        -- of the failure
ALTER TABLE messages ADD COLUMN interrupt TEXT;                          -- what a human is asked: a JSON array
ALTER TABLE messages ADD COLUMN interrupt_expires_at INTEGER;            -- only while interrupted
ALTER TABLE messages ADD COLUMN resume_value TEXT;                       -- the answer: a JSON object
ALTER TABLE messages ADD COLUMN rollback TEXT;                           -- ids to be forgotten first: a JSON array
ALTER TABLE messages ADD COLUMN webhook_url TEXT;

UPDATE messages SET fingerprint = error_code WHERE state = 'failed';

CREATE INDEX messages_of_tenant ON messages (tenant, number);
CREATE INDEX messages_failed ON messages (tenant, number) WHERE state = 'failed';
CREATE INDEX messages_failed_by_kind ON messages (tenant, fingerprint, completed_at) WHERE state = 'failed';
CREATE INDEX messages_interrupted ON messages (interrupt_expires_at) WHERE state = 'interrupted';
CREATE UNIQUE INDEX messages_interrupted_in_thread ON messages (tenant, thread_id)
    WHERE state = 'interrupted' AND thread_id IS NOT NULL;

CREATE TABLE attempts (                    -- those that failed
    message INTEGER NOT NULL,              -- messages.number
    attempt INTEGER NOT NULL,
    worker_id TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    error TEXT NOT NULL,
    error_code TEXT NOT NULL
);

CREATE INDEX attempts_of_message ON attempts (message);

CREATE TABLE request_keys (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    receipts TEXT NOT NULL,                -- what was answered: a JSON array
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) WITHOUT ROWID;

CREATE INDEX request_keys_by_age ON request_keys (created_at);

CREATE TABLE deliveries (                  -- news of messages that ended, for their webhooks
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    message_id TEXT NOT NULL,
    thread_id TEXT,
    url TEXT NOT NULL,
    event TEXT NOT NULL,                   -- the data of the terminal event
    state TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    next_at INTEGER,                       -- only while pending
    attempts TEXT NOT NULL DEFAULT '[]'    -- a JSON array
);

CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state = 'pending';
CREATE INDEX deliveries_of_message ON deliveries (message_id);

DROP TRIGGER messages_added;
DROP TRIGGER messages_moved;
DROP TRIGGER messages_deleted;

CREATE TRIGGER messages_added AFTER INSERT ON messages BEGIN
    INSERT INTO levels (level, waiting) SELECT NEW.rank / 1000000000000000, 1 WHERE NEW.rank IS NOT NULL
    ON CONFLICT (level) DO UPDATE SET waiting = waiting + 1;
    INSERT INTO tallies (tenant, state, messages) VALUES (NEW.tenant, NEW.state, 1)
    ON CONFLICT (state, tenant) DO UPDATE SET messages = messages + 1;
    UPDATE threads SET queued = queued + 1 WHERE tenant = NEW.tenant AND thread_id = NEW.thread_id;
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
        interrupted = interrupted + (NEW.state = 'interrupted') - (OLD.state = 'interrupted'),
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
    DELETE FROM attempts WHERE message = OLD.number;
    DELETE FROM deliveries WHERE message_id = OLD.id;
END;
