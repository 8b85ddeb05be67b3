-- Named queries; `app.store.sql.named_sql` reads them. {name} includes the text of another entry.

-- name: lock_setup
SELECT pg_advisory_xact_lock(hashtext('agent_queue checkpoints'))

-- name: schema_is_missing
-- Reads the catalogue's table: functions as to_regnamespace may answer as of before the wait for the lock.
SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = 'agent_queue_memory')

-- name: create_schema
CREATE SCHEMA agent_queue_memory

-- name: settings
-- Follows the settings of the store's connections. The timeout of statements also ends the wait for a lock.
SET search_path TO agent_queue_memory;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = '30s';

-- name: create_fences
CREATE TABLE IF NOT EXISTS checkpoint_fences (
    thread_id text PRIMARY KEY, queue text NOT NULL, message bigint NOT NULL, fence bigint NOT NULL
)

-- name: create_numberings
CREATE TABLE IF NOT EXISTS checkpoint_numberings (
    thread_id text PRIMARY KEY, id bigint NOT NULL UNIQUE, next bigint NOT NULL
)

-- name: create_messages
CREATE TABLE IF NOT EXISTS checkpoint_messages (
    numbering bigint, number bigint, type text NOT NULL, value bytea NOT NULL, PRIMARY KEY (numbering, number)
)

-- name: find_numbering
SELECT id, next FROM checkpoint_numberings WHERE thread_id = %s

-- name: read_messages
SELECT n.next, m.* FROM checkpoint_numberings AS n LEFT JOIN LATERAL (
    SELECT number, type, value FROM unnest(%(firsts)s::bigint[], %(ends)s::bigint[]) AS wanted (first, behind)
    JOIN checkpoint_messages ON numbering = %(numbering)s AND number >= wanted.first AND number < wanted.behind
) AS m ON true
WHERE n.id = %(numbering)s

-- name: snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ

-- name: had_lists
SELECT 1 FROM checkpoints
WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint #> '{lists,channels}' ?| %s::text[] LIMIT 1

-- name: list_checkpoints
SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, metadata ->> 'run_id' AS run_id,
    metadata ? 'counters_since_delta_snapshot' AS has_deltas, checkpoint -> 'lists' AS lists
FROM checkpoints WHERE thread_id = %(thread)s

-- name: prune
WITH held AS MATERIALIZED ({hold_fence}), {prune_of_held}

-- name: prune_unfenced
WITH held AS MATERIALIZED ({anybody}), {prune_of_held}

-- name: prune_of_held
gone AS MATERIALIZED (
    SELECT given.* FROM held, unnest(%(namespaces)s::text[], %(ids)s::text[]) AS given (checkpoint_ns, checkpoint_id)
), checkpoints_gone AS (
    DELETE FROM checkpoints AS c USING gone
    WHERE c.thread_id = %(thread)s AND c.checkpoint_ns = gone.checkpoint_ns AND c.checkpoint_id = gone.checkpoint_id
), writes_gone AS (
    DELETE FROM checkpoint_writes AS w USING gone
    WHERE w.thread_id = %(thread)s AND w.checkpoint_ns = gone.checkpoint_ns AND w.checkpoint_id = gone.checkpoint_id
), messages_gone AS (
    DELETE FROM checkpoint_messages AS m USING held, checkpoint_numberings AS n,
        unnest(%(firsts)s::bigint[], %(ends)s::bigint[]) AS dropped (first, behind)
    WHERE n.thread_id = %(thread)s AND m.numbering = n.id AND m.number >= dropped.first AND m.number < dropped.behind
), linked AS (
    UPDATE checkpoints AS c SET parent_checkpoint_id = given.parent
    FROM held, unnest(%(child_namespaces)s::text[], %(children)s::text[], %(parents)s::text[])
        AS given (checkpoint_ns, checkpoint_id, parent)
    WHERE c.thread_id = %(thread)s AND c.checkpoint_ns = given.checkpoint_ns AND c.checkpoint_id = given.checkpoint_id
), values_gone AS (
    DELETE FROM checkpoint_blobs AS b USING held WHERE b.thread_id = %(thread)s AND NOT EXISTS (
        SELECT 1 FROM checkpoints AS c WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns
        AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version
        AND (c.checkpoint_ns, c.checkpoint_id) NOT IN (SELECT checkpoint_ns, checkpoint_id FROM gone)
    )
)
SELECT 1 FROM held

-- name: tables_to_vacuum
SELECT relname AS name FROM pg_stat_user_tables
WHERE schemaname = current_schema() AND relname IN ('checkpoints', 'checkpoint_writes', 'checkpoint_blobs')
AND n_dead_tup >= 1000 + 0.1 * n_live_tup AND n_live_tup < 1000000

-- name: vacuum
VACUUM (SKIP_LOCKED, TRUNCATE OFF) {}

-- name: copy_checkpoints
INSERT INTO checkpoints (
    thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata
)
SELECT %(target)s, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type,
    CASE WHEN checkpoint ? 'lists'
        THEN jsonb_set(checkpoint, '{lists,numbering}', to_jsonb(%(numbering)s::bigint)) ELSE checkpoint END,
    metadata
FROM checkpoints JOIN unnest(%(namespaces)s::text[], %(ids)s::text[]) AS given (checkpoint_ns, checkpoint_id)
    USING (checkpoint_ns, checkpoint_id)
WHERE thread_id = %(source)s

-- name: copy_writes
INSERT INTO checkpoint_writes (
    thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob
)
SELECT %(target)s, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob
FROM checkpoint_writes JOIN unnest(%(namespaces)s::text[], %(ids)s::text[]) AS given (checkpoint_ns, checkpoint_id)
    USING (checkpoint_ns, checkpoint_id)
WHERE thread_id = %(source)s AND checkpoint_id <> %(last)s

-- name: copy_values
INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
SELECT %(target)s, checkpoint_ns, channel, version, type, blob FROM checkpoint_blobs AS b
WHERE thread_id = %(source)s AND EXISTS (
    SELECT 1 FROM checkpoints AS c WHERE c.thread_id = %(target)s AND c.checkpoint_ns = b.checkpoint_ns
    AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version
)

-- name: copy_numbering
INSERT INTO checkpoint_numberings (thread_id, id, next)
SELECT %(target)s, %(numbering)s, next FROM checkpoint_numberings WHERE thread_id = %(source)s

-- name: copy_messages
INSERT INTO checkpoint_messages (numbering, number, type, value)
SELECT %(numbering)s, number, m.type, value FROM checkpoint_messages AS m
JOIN checkpoint_numberings AS n ON n.id = m.numbering AND n.thread_id = %(source)s
JOIN unnest(%(firsts)s::bigint[], %(ends)s::bigint[]) AS copied (first, behind)
    ON m.number >= copied.first AND m.number < copied.behind

-- name: take_fence
-- Writes nothing if the mark is there already: only an attempt's first read waits for the disk.
WITH mine (thread_id, queue, message, fence) AS (
    VALUES (%(memory_key)s, %(queue)s, %(message)s::bigint, %(fence)s::bigint)
),
held AS (SELECT 1 FROM checkpoint_fences JOIN mine USING (thread_id, queue, message, fence)),
taken AS (
    INSERT INTO checkpoint_fences AS newest (thread_id, queue, message, fence)
    SELECT thread_id, queue, message, fence FROM mine WHERE NOT EXISTS (SELECT FROM held)
    ON CONFLICT (thread_id) DO UPDATE SET queue = excluded.queue, message = excluded.message, fence = excluded.fence
    WHERE excluded.queue <> newest.queue OR (excluded.message, excluded.fence) >= (newest.message, newest.fence)
    RETURNING 1
)
SELECT 1 FROM held UNION ALL SELECT 1 FROM taken

-- name: find_fence
SELECT 1 FROM checkpoint_fences
WHERE thread_id = %(memory_key)s AND queue = %(queue)s AND message = %(message)s AND fence = %(fence)s

-- name: hold_fence
{find_fence} FOR SHARE

-- name: anybody
SELECT 1

-- name: save_checkpoint
WITH held AS MATERIALIZED ({hold_fence}), {messages_of_held}, {checkpoint_of_numbered}
SELECT {is_saved} FROM held

-- name: save_checkpoint_unfenced
WITH held AS MATERIALIZED ({anybody}), {messages_of_held}, {checkpoint_of_numbered}
SELECT {is_saved} FROM held

-- name: save_checkpoint_and_values
WITH held AS MATERIALIZED ({hold_fence}), {messages_of_held}, {values_of_numbered}, {checkpoint_of_numbered}
SELECT {is_saved} FROM held

-- name: save_checkpoint_and_values_unfenced
WITH held AS MATERIALIZED ({anybody}), {messages_of_held}, {values_of_numbered}, {checkpoint_of_numbered}
SELECT {is_saved} FROM held

-- name: end_step
-- Also saves what the tasks of the step have written after the parent.
WITH held AS MATERIALIZED ({hold_fence}), {messages_of_held}, {values_of_numbered}, {checkpoint_of_numbered},
{writes_of_numbered} DO NOTHING)
SELECT {is_saved} FROM held

-- name: end_step_unfenced
WITH held AS MATERIALIZED ({anybody}), {messages_of_held}, {values_of_numbered}, {checkpoint_of_numbered},
{writes_of_numbered} DO NOTHING)
SELECT {is_saved} FROM held

-- name: begin_turn
-- Also returns the earlier checkpoints if there are `most` of them or more. They are pruned afterwards.
WITH held AS MATERIALIZED ({hold_fence}), {messages_of_held}, {values_of_numbered}, {checkpoint_of_numbered}
SELECT {is_saved}, CASE WHEN (SELECT count(*) FROM checkpoints WHERE thread_id = %(thread)s) >= %(most)s::int
    THEN (SELECT jsonb_agg(to_jsonb(earlier)) FROM ({list_checkpoints}) AS earlier) END AS earlier FROM held

-- name: is_saved
EXISTS (SELECT FROM numbered) AS is_saved

-- name: messages_of_held
-- `expected` is the next number that the writer knows; 0 for a new numbering. The writer knows a wrong one if another
-- process has added messages: then nothing is saved.
counted AS (
    UPDATE checkpoint_numberings AS n SET next = %(next)s::bigint FROM held
    WHERE n.thread_id = %(thread)s AND n.id = %(numbering)s AND n.next = %(expected)s::bigint
    AND n.next < %(next)s::bigint RETURNING 1
), created AS (
    INSERT INTO checkpoint_numberings (thread_id, id, next)
    SELECT %(thread)s, %(numbering)s::bigint, %(next)s::bigint FROM held
    WHERE %(expected)s::bigint = 0 AND %(next)s::bigint > 0 ON CONFLICT DO NOTHING RETURNING 1
), numbered AS MATERIALIZED (
    SELECT 1 FROM counted UNION ALL SELECT 1 FROM created UNION ALL
    SELECT 1 FROM held WHERE %(next)s::bigint = %(expected)s::bigint AND (%(next)s::bigint = 0 OR EXISTS (
        SELECT FROM checkpoint_numberings AS n WHERE n.thread_id = %(thread)s AND n.id = %(numbering)s
    ))
), added AS (
    INSERT INTO checkpoint_messages (numbering, number, type, value)
    SELECT %(numbering)s::bigint, given.* FROM numbered, unnest(
        %(numbers)s::bigint[], %(message_types)s::text[], %(messages)s::bytea[]
    ) AS given
)

-- name: values_of_numbered
filled AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT %(thread)s, %(namespace)s, given.* FROM numbered, unnest(
        %(channels)s::text[], %(versions)s::text[], %(types)s::text[], %(blobs)s::bytea[]
    ) AS given
    ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING
)

-- name: checkpoint_of_numbered
saved AS (
    INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
    SELECT %(thread)s, %(namespace)s, %(id)s, %(parent)s::text, %(checkpoint)s::jsonb, %(metadata)s::jsonb
    FROM numbered
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
    DO UPDATE SET checkpoint = excluded.checkpoint, metadata = excluded.metadata
)

-- name: add_writes
WITH numbered AS MATERIALIZED ({hold_fence}), {writes_of_numbered} DO NOTHING) SELECT 1 FROM numbered

-- name: add_writes_unfenced
WITH numbered AS MATERIALIZED ({anybody}), {writes_of_numbered} DO NOTHING) SELECT 1 FROM numbered

-- name: replace_writes
WITH numbered AS MATERIALIZED ({hold_fence}), {writes_of_numbered} {replace_known}) SELECT 1 FROM numbered

-- name: replace_writes_unfenced
WITH numbered AS MATERIALIZED ({anybody}), {writes_of_numbered} {replace_known}) SELECT 1 FROM numbered

-- name: writes_of_numbered
-- Writes that are saved alone add no messages, so they need only the mark.
writes_saved AS (
    INSERT INTO checkpoint_writes (
        thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob
    )
    SELECT %(thread)s, %(namespace)s, %(parent)s, given.* FROM numbered, unnest(
        %(tasks)s::text[], %(paths)s::text[], %(write_numbers)s::int[], %(write_channels)s::text[],
        %(write_types)s::text[], %(writes)s::bytea[]
    ) AS given
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)

-- name: replace_known
DO UPDATE SET channel = excluded.channel, type = excluded.type, blob = excluded.blob

-- name: forget_fences
-- Comes first: a write locks its fence before the other tables, so two never wait for each other.
DELETE FROM checkpoint_fences WHERE thread_id = ANY(%s)

-- name: forget_checkpoints
DELETE FROM checkpoints WHERE thread_id = ANY(%s)

-- name: forget_values
DELETE FROM checkpoint_blobs WHERE thread_id = ANY(%s)

-- name: forget_writes
DELETE FROM checkpoint_writes WHERE thread_id = ANY(%s)

-- name: forget_messages
DELETE FROM checkpoint_messages WHERE numbering IN (SELECT id FROM checkpoint_numberings WHERE thread_id = ANY(%s))

-- name: forget_numberings
DELETE FROM checkpoint_numberings WHERE thread_id = ANY(%s)

-- name: drop_writes
DELETE FROM checkpoint_writes WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id = %s

-- name: drop_input
{drop_writes} AND task_id = %s

-- name: drop_unfinished
DELETE FROM checkpoint_writes WHERE thread_id = %(thread)s AND channel <> %(kept)s
AND (checkpoint_ns, checkpoint_id) IN (
    SELECT checkpoint_ns, max(checkpoint_id) FROM checkpoints WHERE thread_id = %(thread)s GROUP BY checkpoint_ns
)

-- name: measure
-- Sizes of JSON are those of the stored, perhaps compressed form. No value is read for its length.
SELECT (
    (SELECT coalesce(sum(pg_column_size(checkpoint) + pg_column_size(metadata)), 0)
        FROM checkpoints WHERE thread_id = wanted.key)
    + (SELECT coalesce(sum(octet_length(blob)), 0) FROM checkpoint_blobs WHERE thread_id = wanted.key)
    + (SELECT coalesce(sum(octet_length(blob)), 0) FROM checkpoint_writes WHERE thread_id = wanted.key)
    + (SELECT coalesce(sum(octet_length(value)), 0) FROM checkpoint_numberings AS n
        JOIN checkpoint_messages AS m ON m.numbering = n.id WHERE n.thread_id = wanted.key)
)::bigint AS bytes
FROM unnest(%(keys)s::text[]) WITH ORDINALITY AS wanted (key, place) ORDER BY place
