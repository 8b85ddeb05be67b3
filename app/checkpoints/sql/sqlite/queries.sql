-- Named queries; `app.store.sql.named_sql` reads them. {name} includes the text of another entry.

-- name: create_fences
CREATE TABLE IF NOT EXISTS fences (
    thread_id TEXT PRIMARY KEY, queue TEXT NOT NULL, message INTEGER NOT NULL, fence INTEGER NOT NULL
) WITHOUT ROWID

-- name: take_fence
INSERT INTO fences (thread_id, queue, message, fence) VALUES (?, ?, ?, ?)
ON CONFLICT (thread_id) DO UPDATE SET queue = excluded.queue, message = excluded.message, fence = excluded.fence
WHERE excluded.queue <> queue OR (excluded.message, excluded.fence) >= (message, fence)
RETURNING 1

-- name: find_fence
SELECT 1 FROM fences WHERE thread_id = ? AND queue = ? AND message = ? AND fence = ?

-- name: forget_fence
DELETE FROM fences WHERE thread_id = ?

-- name: checkpoints_of_runs
SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id FROM checkpoints
WHERE thread_id = ? AND json_extract(CAST(metadata AS TEXT), '$.run_id') IN (SELECT value FROM json_each(?))

-- name: drop_checkpoint
DELETE FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?

-- name: drop_writes
DELETE FROM writes WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?

-- name: drop_input
{drop_writes} AND task_id = ?

-- name: drop_unfinished
DELETE FROM writes WHERE thread_id = ? AND channel <> ? AND (checkpoint_ns, checkpoint_id) IN (
    SELECT checkpoint_ns, max(checkpoint_id) FROM checkpoints WHERE thread_id = ? GROUP BY checkpoint_ns
)
