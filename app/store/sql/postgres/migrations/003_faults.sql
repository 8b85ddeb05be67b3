-- The store's own time, which goes on when the server's clock is stepped: one row, see `app.clock.ClockState`.

CREATE TABLE clock (
    epoch BIGINT PRIMARY KEY,             -- number of steps that were corrected
    correction BIGINT NOT NULL,           -- store time minus the server's at `since`, in milliseconds; it wears off
    since BIGINT NOT NULL,
    seen BIGINT NOT NULL,                 -- a recent store time
    boot TEXT NOT NULL,                    -- the start of the host from which `noted` counts
    ahead BIGINT NOT NULL,                -- the server's clock minus that host's, which is never stepped, in milliseconds
    noted BIGINT NOT NULL
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

-- Webhooks choose what they are told of: a JSON array, NULL for the ends.
ALTER TABLE messages ADD COLUMN webhook_events TEXT;

-- `event` is the state that a delivery tells of.
ALTER TABLE deliveries ADD COLUMN data TEXT NOT NULL DEFAULT '';
UPDATE deliveries SET data = event, event = substring(event FROM '^\{"state": "([a-z]+)"');

-- Lists of deliveries, newest first.
CREATE INDEX deliveries_by_kind ON deliveries (tenant, state, event, created_at, id);
