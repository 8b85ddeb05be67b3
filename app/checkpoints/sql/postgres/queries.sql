-- Named queries; `app.store.sql.named_sql` reads them. {name} includes the text of another entry.

-- name: lock_setup
SELECT pg_advisory_xact_lock(hashtext('agent_queue checkpoints'))

-- name: schema_is_missing
SELECT 1 WHERE to_regnamespace('agent_queue_memory') IS NULL

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

-- name: take_fence
-- Writes nothing if the mark is there already: only an attempt's first read waits for the disk.
WITH mine (thread_id, queue, message, fence) AS (VALUES (%s, %s, %s::bigint, %s::bigint)),
held AS (SELECT 1 FROM checkpoint_fences JOIN mine USING (thread_id, queue, message, fence)),
taken AS (
    INSERT INTO checkpoint_fences AS newest (thread_id, queue, message, fence)
    SELECT thread_id, queue, message, fence FROM mine WHERE NOT EXISTS (SELECT FROM held)
    ON CONFLICT (thread_id) DO UPDATE SET queue = excluded.queue, message = excluded.message, fence = excluded.fence
    WHERE excluded.queue <> newest.queue OR (excluded.message, excluded.fence) >= (newest.message, newest.fence)
    RETURNING 1
)
SELECT 1 FROM held UNION ALL SELECT 1 FROM taken

-- name: hold_fence
SELECT 1 FROM checkpoint_fences
WHERE thread_id = %(memory_key)s AND queue = %(queue)s AND message = %(message)s AND fence = %(fence)s FOR SHARE

-- name: anybody
SELECT 1

-- name: save_checkpoint
WITH held AS MATERIALIZED ({hold_fence}), {checkpoint_of_held}

-- name: save_checkpoint_unfenced
WITH held AS MATERIALIZED ({anybody}), {checkpoint_of_held}

-- name: checkpoint_of_held
filled AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT %(thread)s, %(namespace)s, given.* FROM held, unnest(
        %(channels)s::text[], %(versions)s::text[], %(types)s::text[], %(blobs)s::bytea[]
    ) AS given
    ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING
), saved AS (
    INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
    SELECT %(thread)s, %(namespace)s, %(id)s, %(parent)s::text, %(checkpoint)s::jsonb, %(metadata)s::jsonb FROM held
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
    DO UPDATE SET checkpoint = excluded.checkpoint, metadata = excluded.metadata
)
SELECT 1 FROM held

-- name: add_writes
WITH held AS MATERIALIZED ({hold_fence}), {writes_of_held} DO NOTHING) SELECT 1 FROM held

-- name: add_writes_unfenced
WITH held AS MATERIALIZED ({anybody}), {writes_of_held} DO NOTHING) SELECT 1 FROM held

-- name: replace_writes
WITH held AS MATERIALIZED ({hold_fence}), {writes_of_held} {replace_known}) SELECT 1 FROM held

-- name: replace_writes_unfenced
WITH held AS MATERIALIZED ({anybody}), {writes_of_held} {replace_known}) SELECT 1 FROM held

-- name: writes_of_held
saved AS (
    INSERT INTO checkpoint_writes (
        thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob
    )
    SELECT %(thread)s, %(namespace)s, %(id)s, %(task)s, %(path)s, given.* FROM held, unnest(
        %(numbers)s::int[], %(channels)s::text[], %(types)s::text[], %(blobs)s::bytea[]
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

-- name: drop_checkpoints_of_runs
DELETE FROM checkpoints WHERE thread_id = %s AND metadata ->> 'run_id' = ANY(%s)
RETURNING checkpoint_ns, checkpoint_id, parent_checkpoint_id

-- name: drop_writes
DELETE FROM checkpoint_writes WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id = %s

-- name: drop_input
{drop_writes} AND task_id = %s

-- name: drop_unused_values
DELETE FROM checkpoint_blobs AS b WHERE thread_id = %s AND NOT EXISTS (
    SELECT 1 FROM checkpoints AS c WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns
    AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version
)

-- name: drop_unfinished
DELETE FROM checkpoint_writes WHERE thread_id = %(thread)s AND channel <> %(kept)s
AND (checkpoint_ns, checkpoint_id) IN (
    SELECT checkpoint_ns, max(checkpoint_id) FROM checkpoints WHERE thread_id = %(thread)s GROUP BY checkpoint_ns
)
