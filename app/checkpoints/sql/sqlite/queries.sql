-- Named queries; `app.store.sql.named_sql` reads them. {name} includes the text of another entry.

-- name: create_fences
CREATE TABLE IF NOT EXISTS fences (
    thread_id TEXT PRIMARY KEY, queue TEXT NOT NULL, message INTEGER NOT NULL, fence INTEGER NOT NULL
) WITHOUT ROWID

-- name: create_numberings
-- Ids are never used again: another process may still know the messages of a deleted conversation.
CREATE TABLE IF NOT EXISTS numberings (
    id INTEGER PRIMARY KEY AUTOINCREMENT, thread_id TEXT NOT NULL UNIQUE, next INTEGER NOT NULL
)

-- name: create_messages
-- The id is the numbering's id, shifted left by 32 bits, plus the message's number.
CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, type TEXT NOT NULL, value BLOB NOT NULL)

-- name: has_lists
SELECT 1 FROM pragma_table_info('checkpoints') WHERE name = 'lists'

-- name: add_lists
-- NULL for a checkpoint without lists, and for one from before lists were stored apart.
ALTER TABLE checkpoints ADD COLUMN lists TEXT

-- name: find_numbering
SELECT id, next FROM numberings WHERE thread_id = ?

-- name: add_numbering
INSERT INTO numberings (thread_id, next) VALUES (?, 0) RETURNING id, next

-- name: has_numbering
SELECT 1 FROM numberings WHERE id = ? AND next = ?

-- name: raise_next_number
-- No row if another process has added messages, or if the conversation was deleted.
UPDATE numberings SET next = ? WHERE id = ? AND next = ?

-- name: set_next_number
UPDATE numberings SET next = ? WHERE id = ?

-- name: forget_numbering
DELETE FROM numberings WHERE thread_id = ?

-- name: add_message
INSERT INTO messages (id, type, value) VALUES (?, ?, ?)

-- name: read_messages
SELECT id, type, value FROM messages WHERE id >= ? AND id < ?

-- name: copy_messages
INSERT INTO messages (id, type, value) SELECT id + ?, type, value FROM messages WHERE id >= ? AND id < ?

-- name: drop_messages
DELETE FROM messages WHERE id >= ? AND id < ?

-- name: find_lists
SELECT lists FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?

-- name: had_lists
SELECT 1 FROM checkpoints, json_each(lists, '$.channels') AS stored
WHERE thread_id = ? AND checkpoint_ns = ? AND stored.key IN (SELECT value FROM json_each(?))

-- name: save_checkpoint
INSERT OR REPLACE INTO checkpoints (
    thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata, lists
) VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: add_write
INSERT OR IGNORE {write}

-- name: replace_write
INSERT OR REPLACE {write}

-- name: write
INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: count_checkpoints
SELECT count(*) FROM checkpoints WHERE thread_id = ?

-- name: list_checkpoints
SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, json_extract(about, '$.run_id'),
    json_type(about, '$.counters_since_delta_snapshot') IS NOT NULL, lists
FROM (SELECT *, CAST(metadata AS TEXT) AS about FROM checkpoints WHERE thread_id = ?)

-- name: set_parent
UPDATE checkpoints SET parent_checkpoint_id = ? WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?

-- name: copy_checkpoint
INSERT INTO checkpoints (
    thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata, lists
)
SELECT ?, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata,
    json_replace(lists, '$.numbering', ?)
FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?

-- name: copy_writes
INSERT INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value)
SELECT ?, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value
FROM writes WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?

-- name: take_fence
INSERT INTO fences (thread_id, queue, message, fence) VALUES (?, ?, ?, ?)
ON CONFLICT (thread_id) DO UPDATE SET queue = excluded.queue, message = excluded.message, fence = excluded.fence
WHERE excluded.queue <> queue OR (excluded.message, excluded.fence) >= (message, fence)
RETURNING 1

-- name: find_fence
SELECT 1 FROM fences WHERE thread_id = ? AND queue = ? AND message = ? AND fence = ?

-- name: forget_fence
DELETE FROM fences WHERE thread_id = ?

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

-- name: measure
-- Lengths are in the heads of rows, so no value is read.
SELECT
    (SELECT coalesce(sum(length(checkpoint) + length(metadata) + coalesce(length(lists), 0)), 0)
        FROM checkpoints WHERE thread_id = :key)
    + (SELECT coalesce(sum(length(value)), 0) FROM writes WHERE thread_id = :key)
    + (SELECT coalesce(sum(length(value)), 0) FROM numberings AS n CROSS JOIN messages AS m
        WHERE n.thread_id = :key AND m.id >= n.id << 32 AND m.id < (n.id + 1) << 32)
