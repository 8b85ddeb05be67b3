-- The store's own time, which goes on when the host's clock is stepped: one row, see `app.clock.ClockState`.

CREATE TABLE clock (
    epoch INTEGER NOT NULL,                -- number of steps that were corrected
    correction INTEGER NOT NULL,           -- store time minus the host's at `since`, in milliseconds; it wears off
    since INTEGER NOT NULL,
    seen INTEGER NOT NULL,                 -- a recent store time
    boot TEXT NOT NULL,                    -- the start of the host from which `noted` counts
    ahead INTEGER NOT NULL,                -- wall clock minus the clock that is never stepped, in milliseconds
    noted INTEGER NOT NULL
);

INSERT INTO clock (epoch, correction, since, seen, boot, ahead, noted) VALUES (0, 0, 0, 0, '', 0, 0);

-- Where an attempt failed.

ALTER TABLE attempts ADD COLUMN details TEXT;                            -- JSON; nothing here asks for it

-- The answer's JSON, where a run came to more than text.
ALTER TABLE messages ADD COLUMN output TEXT;                             -- JSON; nothing here asks for it

-- Workers tell which agents they run: a JSON array, empty where a worker does not tell them.
ALTER TABLE workers ADD COLUMN agents TEXT NOT NULL DEFAULT '';

-- Lists of cancelled messages only; costs nothing but where a message is cancelled.
CREATE INDEX messages_cancelled ON messages (tenant, number) WHERE state = 'cancelled';

-- Threads whose messages were all deleted: without it, each look for them walks all threads.
CREATE INDEX threads_empty ON threads (last_activity)
    WHERE queued + processing + interrupted + completed + failed + cancelled = 0;

-- Webhooks choose what they are told of: a JSON array, NULL for the ends.
ALTER TABLE messages ADD COLUMN webhook_events TEXT;

-- `event` is the state that a delivery tells of. `data` comes last, so that lists need not read over long ones.
ALTER TABLE deliveries ADD COLUMN data TEXT NOT NULL DEFAULT '';
UPDATE deliveries SET data = event, event = json_extract(event, '$.state');

-- Lists of deliveries, newest first.
CREATE INDEX deliveries_by_kind ON deliveries (tenant, state, event, created_at, id);
DROP INDEX deliveries_of_message;
CREATE INDEX deliveries_of_message ON deliveries (message_id, created_at, id);
