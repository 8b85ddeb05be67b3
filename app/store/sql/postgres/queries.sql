-- Named queries; `app.store.named_sql` reads them. {name} takes in the text of another entry.
--
-- Who locks several rows locks threads before messages, both in the order of their keys, so that nobody waits in a
-- circle. A message that is queued but not ready is changed under the lock of its thread only.

-- name: message_columns
number, id, tenant, thread_id, thread_number, agent, content, priority, state, created_at, started_at, completed_at,
result, error, error_code, attempt, fence

-- name: server_time
(extract(epoch FROM clock_timestamp()) * 1000)::bigint

-- name: next_fence
-- From the clock: a row that a failover took back to an earlier state must not give out the same fence a second time.
greatest(fence + 1, %(now)s * 1000 + mod(extract(microseconds FROM clock_timestamp())::bigint, 1000))

-- name: read_clock
SELECT {server_time}

-- name: begin_write
BEGIN

-- name: begin_read
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY

-- name: commit
COMMIT

-- name: rollback
ROLLBACK

-- name: mark_commit
INSERT INTO commits (session, number, committed_at) VALUES (%(session)s, %(number)s, now())
ON CONFLICT (session) DO UPDATE SET number = excluded.number, committed_at = excluded.committed_at

-- name: identify_backend
SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()

-- name: end_backend
-- No row when it has ended already; false when it would not end in time. Then, whether its commit is done here and only
-- waits for a synchronous standby.
SELECT pg_terminate_backend(pid, %(milliseconds)s), coalesce(wait_event = 'SyncRep', FALSE) FROM pg_stat_activity
WHERE pid = %(pid)s AND backend_start = %(started)s

-- name: find_commit
SELECT 1 FROM commits WHERE session = %(session)s AND number = %(number)s

-- name: is_read_only
-- Of the server: the transactions of reads always are.
SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean FROM queue

-- name: queue_id
SELECT id FROM queue

-- name: count_processing
SELECT count(*) FROM messages WHERE state = 'processing'

-- name: count_queued
SELECT coalesce((SELECT sum(messages) FROM tallies WHERE state = 'unfinished'), 0)::bigint - ({count_processing})

-- name: enter_threads
-- Locks the order of these threads for this transaction: two messages cannot get numbers in one order and commit in the
-- other. The caller gives the threads sorted.
INSERT INTO threads AS thread (
    tenant, thread_id, last_number, created_at, last_activity, last_message_preview, unfinished
)
SELECT tenant, thread_id, added, %(now)s, %(now)s, preview, added
FROM unnest(%(tenants)s::text[], %(threads)s::text[], %(added)s::bigint[], %(previews)s::text[])
    AS given (tenant, thread_id, added, preview)
ON CONFLICT (tenant, thread_id) DO UPDATE SET
    last_number = thread.last_number + excluded.unfinished,
    last_activity = greatest(thread.last_activity, excluded.last_activity),
    last_message_preview = excluded.last_message_preview,
    unfinished = thread.unfinished + excluded.unfinished
RETURNING tenant, thread_id, last_number, unfinished

-- name: add_messages
INSERT INTO messages (
    id, tenant, thread_id, thread_number, agent, content, priority, base_rank, rank, state, place, created_at, changed_at
)
SELECT id, tenant, thread_id, thread_number, agent, content, priority, base_rank, rank, 'queued', place,
    %(now)s, %(now)s
FROM unnest(
    %(ids)s::text[], %(tenants)s::text[], %(threads)s::text[], %(thread_numbers)s::bigint[], %(agents)s::text[],
    %(contents)s::text[], %(priorities)s::text[], %(base_ranks)s::bigint[], %(ranks)s::bigint[], %(places)s::text[]
) WITH ORDINALITY
    AS given (id, tenant, thread_id, thread_number, agent, content, priority, base_rank, rank, place, ordinal)
ORDER BY ordinal
RETURNING id, number

-- name: lift_threads
-- Priority inheritance: those ahead in the thread wait no longer than these would. Ranks never fall along a thread, so
-- the messages to lift are its tail, and the walk from the end stops at the first one that needs no lifting.
UPDATE messages SET rank = lift.rank
FROM unnest(%(tenants)s::text[], %(threads)s::text[], %(ranks)s::bigint[], %(firsts)s::bigint[])
    AS lift (tenant, thread_id, rank, first)
WHERE messages.tenant = lift.tenant AND messages.thread_id = lift.thread_id AND messages.state = 'queued'
    AND messages.thread_number < lift.first AND messages.thread_number > coalesce((
        SELECT ahead.thread_number FROM messages AS ahead
        WHERE ahead.tenant = lift.tenant AND ahead.thread_id = lift.thread_id AND ahead.state = 'queued'
            AND ahead.rank <= lift.rank AND ahead.thread_number < lift.first
        ORDER BY ahead.thread_number DESC LIMIT 1
    ), 0)
    AND messages.rank > lift.rank  -- not a delayed head, whose rank is NULL

-- name: settle_thread
-- After a message that others had inherited from is gone: ranks from the base ranks anew.
UPDATE messages SET rank = settled.rank
FROM (
    SELECT number, min(base_rank) OVER (ORDER BY thread_number DESC ROWS UNBOUNDED PRECEDING) AS rank
    FROM messages
    WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND state = 'queued'
) AS settled
WHERE messages.number = settled.number AND messages.rank <> settled.rank

-- name: inherited_ahead
-- Whether the message just ahead in the thread has its rank from one behind it.
SELECT rank < base_rank FROM messages
WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND state = 'queued' AND thread_number < %(thread_number)s
ORDER BY thread_number DESC LIMIT 1

-- name: lock_threads
SELECT 1 FROM threads
WHERE (tenant, thread_id) IN (SELECT tenant, thread_id FROM messages WHERE id = ANY (%(ids)s::text[]))
ORDER BY tenant, thread_id FOR NO KEY UPDATE

-- name: promote_next
-- Under the locks of their threads, whose heads have ended. The search begins behind these: the index holds what has left
-- the thread until it is vacuumed, and an update that inserts where it searches cannot mark that as dead.
UPDATE messages SET
    place = CASE WHEN run_at <= %(now)s THEN 'ready' ELSE 'delayed' END,
    rank = CASE WHEN run_at <= %(now)s THEN rank END
FROM unnest(%(tenants)s::text[], %(threads)s::text[], %(ended)s::bigint[]) AS thread (tenant, thread_id, ended)
CROSS JOIN LATERAL (
    SELECT number FROM messages
    WHERE tenant = thread.tenant AND thread_id = thread.thread_id AND state = 'queued'
        AND thread_number > thread.ended
    ORDER BY thread_number LIMIT 1
) AS head
WHERE messages.number = head.number

-- name: rank_of_head
-- The rank that the first unfinished message of a thread has when it waits.
least(base_rank, (
    SELECT behind.rank FROM messages AS behind
    WHERE behind.tenant = messages.tenant AND behind.thread_id = messages.thread_id
        AND behind.state = 'queued' AND behind.thread_number > messages.thread_number
    ORDER BY behind.thread_number LIMIT 1
))

-- name: find_due
SELECT id FROM messages WHERE place = 'delayed' AND run_at <= %(now)s ORDER BY run_at, number LIMIT %(limit)s

-- name: lock_due
SELECT number FROM messages WHERE id = ANY (%(ids)s::text[]) AND place = 'delayed' AND run_at <= %(now)s
ORDER BY number FOR NO KEY UPDATE

-- name: promote_due
UPDATE messages SET place = 'ready', rank = {rank_of_head} WHERE number = ANY (%(numbers)s::bigint[])

-- name: get_message
SELECT {message_columns} FROM messages WHERE id = %(id)s AND tenant = %(tenant)s

-- name: place_in_queue
SELECT number, rank, place FROM messages WHERE id = %(id)s AND tenant = %(tenant)s AND state = 'queued'

-- name: count_levels
-- Waiting messages of the levels before this rank's, and of its own level.
SELECT
    coalesce(sum(waiting) FILTER (WHERE level < %(rank)s / 1000000000000000), 0)::bigint,
    coalesce(sum(waiting) FILTER (WHERE level = %(rank)s / 1000000000000000), 0)::bigint
FROM (
    SELECT level, waiting FROM levels
    UNION ALL
    SELECT rank / 1000000000000000, -1 FROM messages WHERE state = 'processing'
) AS counted

-- name: count_ahead
SELECT count(*) FROM (
    SELECT 1 FROM messages
    WHERE state = 'queued' AND rank >= %(rank)s / 1000000000000000 * 1000000000000000
        AND (rank, number) < (%(rank)s, %(number)s)
    LIMIT %(most)s
) AS ahead

-- name: count_after
SELECT count(*) FROM (
    SELECT 1 FROM messages
    WHERE state = 'queued' AND rank < (%(rank)s / 1000000000000000 + 1) * 1000000000000000
        AND (rank, number) > (%(rank)s, %(number)s)
    LIMIT %(most)s
) AS behind

-- name: places_from
-- The places of a level from this one on.
SELECT rank, number FROM messages
WHERE state = 'queued' AND rank < (%(rank)s / 1000000000000000 + 1) * 1000000000000000
    AND (rank, number) >= (%(rank)s, %(number)s)
ORDER BY rank, number LIMIT %(most)s

-- name: list_queued
-- Ends early, here and below, so that no page is larger in memory than its texts may be.
SELECT {message_columns} FROM (
    SELECT {message_columns}, rank, sum(octet_length(content)) OVER (ORDER BY rank, number ROWS UNBOUNDED PRECEDING)
        - octet_length(content) AS before
    FROM messages
    WHERE state = 'queued' AND rank IS NOT NULL AND tenant = %(tenant)s
    ORDER BY rank, number LIMIT %(limit)s
) AS page WHERE before < {page_octets} ORDER BY rank, number

-- name: page_octets
-- Four for each character of PAGE_TEXT_LENGTH, the most that UTF-8 needs: the page itself is cut by characters.
16777216

-- name: list_delayed
SELECT {message_columns} FROM (
    SELECT {message_columns}, run_at, sum(octet_length(content)) OVER (ORDER BY run_at, number ROWS UNBOUNDED PRECEDING)
        - octet_length(content) AS before
    FROM messages
    WHERE place = 'delayed' AND tenant = %(tenant)s
    ORDER BY run_at, number LIMIT %(limit)s
) AS page WHERE before < {page_octets} ORDER BY run_at, number

-- name: list_processing
SELECT {message_columns} FROM (
    SELECT {message_columns}, changed_at,
        sum(octet_length(content)) OVER (ORDER BY changed_at, number ROWS UNBOUNDED PRECEDING) - octet_length(content)
        AS before
    FROM messages
    WHERE state = 'processing' AND tenant = %(tenant)s
    ORDER BY changed_at, number LIMIT %(limit)s
) AS page WHERE before < {page_octets} ORDER BY changed_at, number

-- name: list_thread_messages
SELECT {message_columns} FROM (
    SELECT {message_columns}, sum(octet_length(content) + coalesce(octet_length(result), 0))
        OVER (ORDER BY thread_number ROWS UNBOUNDED PRECEDING)
        - octet_length(content) - coalesce(octet_length(result), 0) AS before
    FROM messages
    WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND thread_number > %(after)s
    ORDER BY thread_number LIMIT %(limit)s
) AS page WHERE before < {page_octets} ORDER BY thread_number

-- name: tallies
WITH running AS (SELECT count(*) AS messages FROM messages WHERE state = 'processing' AND tenant = %(tenant)s)
SELECT CASE state WHEN 'unfinished' THEN 'queued' ELSE state END,
    sum(tallies.messages)::bigint - CASE state WHEN 'unfinished' THEN (SELECT messages FROM running) ELSE 0 END
FROM tallies WHERE tenant = %(tenant)s GROUP BY state
UNION ALL
SELECT 'processing', messages FROM running

-- name: list_threads
-- A claim is activity of its thread, but it locks no thread: until the attempt is over, the running message tells when.
WITH running AS (
    SELECT thread_id, changed_at FROM messages
    WHERE state = 'processing' AND tenant = %(tenant)s AND thread_id IS NOT NULL
)
SELECT thread_id, last_number, created_at, last_activity, last_message_preview, unfinished - running, running, completed,
    failed, cancelled
FROM (
    (
        SELECT thread_id, last_number, created_at, last_activity, last_message_preview, unfinished, 0 AS running,
            completed, failed, cancelled
        FROM threads
        WHERE tenant = %(tenant)s AND (last_activity, thread_id) < (%(last_activity)s, %(thread_id)s::text COLLATE "C")
            AND NOT EXISTS (SELECT FROM running WHERE running.thread_id = threads.thread_id)
        ORDER BY last_activity DESC, thread_id DESC LIMIT %(limit)s
    )
    UNION ALL
    SELECT threads.thread_id, threads.last_number, threads.created_at,
        greatest(threads.last_activity, running.changed_at), threads.last_message_preview, threads.unfinished, 1,
        threads.completed, threads.failed, threads.cancelled
    FROM running JOIN threads ON threads.tenant = %(tenant)s AND threads.thread_id = running.thread_id
    WHERE (greatest(threads.last_activity, running.changed_at), threads.thread_id)
        < (%(last_activity)s, %(thread_id)s::text COLLATE "C")
) AS page
ORDER BY last_activity DESC, thread_id DESC LIMIT %(limit)s

-- name: get_thread
SELECT threads.thread_id, threads.last_number, threads.created_at,
    greatest(threads.last_activity, running.changed_at), threads.last_message_preview,
    threads.unfinished - count(running.number), count(running.number), threads.completed, threads.failed,
    threads.cancelled
FROM threads LEFT JOIN messages AS running
    ON running.tenant = threads.tenant AND running.thread_id = threads.thread_id AND running.state = 'processing'
WHERE threads.tenant = %(tenant)s AND threads.thread_id = %(thread_id)s
GROUP BY threads.tenant, threads.thread_id, running.changed_at

-- name: claim
-- How many of each agent are among the first of all is looked up before any is locked, so that no message is locked
-- without being taken; one agent alone takes what it finds.
WITH quota AS (
    SELECT agent, count(*) AS most FROM (
        SELECT named.agent FROM unnest(%(agents)s::text[]) AS named (agent)
        CROSS JOIN LATERAL (
            SELECT rank, number FROM messages WHERE place = 'ready' AND agent = named.agent
            ORDER BY rank, number LIMIT %(limit)s
        ) AS ready
        ORDER BY ready.rank, ready.number LIMIT %(limit)s
    ) AS first GROUP BY agent
), picked AS MATERIALIZED (
    SELECT ready.number FROM quota CROSS JOIN LATERAL (
        SELECT number FROM messages WHERE place = 'ready' AND agent = quota.agent
        ORDER BY rank, number LIMIT quota.most FOR NO KEY UPDATE SKIP LOCKED
    ) AS ready
)
UPDATE messages SET
    state = 'processing', place = NULL, attempt = attempt + 1, fence = {next_fence}, worker_id = %(worker_id)s,
    lease_until = %(lease_until)s, started_at = coalesce(started_at, %(now)s), changed_at = %(now)s
FROM picked WHERE messages.number = picked.number
RETURNING {claimed_columns}, rank

-- name: claimed_columns
messages.number, id, tenant, thread_id, thread_number, agent, content, priority, state, created_at, started_at,
completed_at, result, error, error_code, attempt, fence

-- name: lock_leased
-- The guard of every change of an attempt.
SELECT messages.number, messages.id, messages.tenant, messages.thread_id,
    messages.thread_number, messages.fence
FROM unnest(%(ids)s::text[], %(fences)s::bigint[]) AS lease (id, fence)
JOIN messages ON messages.id = lease.id AND messages.fence = lease.fence AND messages.state = 'processing'
ORDER BY messages.number FOR NO KEY UPDATE OF messages

-- name: lock_queued
SELECT number, place FROM messages WHERE id = %(id)s AND tenant = %(tenant)s AND state = 'queued' FOR NO KEY UPDATE

-- name: find_ended
-- A finish that is repeated is told by its fence, which only another attempt, a rescue or a release would have raised.
SELECT messages.id, messages.fence FROM unnest(%(ids)s::text[], %(fences)s::bigint[]) AS lease (id, fence)
JOIN messages ON messages.id = lease.id AND messages.fence = lease.fence AND messages.completed_at IS NOT NULL

-- name: find_logs
-- The last event of each message, and where its present attempt begins; under the locks of the messages.
SELECT messages.number, coalesce(last.id, 0), coalesce(attempt.id, 1)
FROM messages
LEFT JOIN LATERAL (
    SELECT id FROM events WHERE message = messages.number ORDER BY id DESC LIMIT 1
) AS last ON TRUE
LEFT JOIN LATERAL (
    SELECT id FROM events WHERE message = messages.number AND type = 'processing' ORDER BY id DESC LIMIT 1
) AS attempt ON TRUE
WHERE messages.id = ANY (%(ids)s::text[])

-- name: end_messages
-- `taken`: not by who holds the lease, whose fence stays, so that a finish that is repeated can be told.
UPDATE messages SET
    state = given.state, place = NULL, rank = NULL, result = given.result, error = given.error,
    error_code = given.error_code, fence = CASE WHEN %(taken)s THEN {next_fence} ELSE fence END,
    crashes = crashes + %(crashed)s, worker_id = NULL, lease_until = NULL, changed_at = %(now)s, completed_at = %(now)s
FROM unnest(
    %(numbers)s::bigint[], %(states)s::text[], %(results)s::text[], %(errors)s::text[], %(error_codes)s::text[]
) AS given (number, state, result, error, error_code)
WHERE messages.number = given.number

-- name: requeue_messages
-- Back to the queue as the heads of their threads, with the ranks they would have had there all the time.
UPDATE messages SET
    state = 'queued', place = CASE WHEN given.run_at <= %(now)s THEN 'ready' ELSE 'delayed' END,
    run_at = given.run_at, rank = CASE WHEN given.run_at <= %(now)s THEN {rank_of_head} END,
    attempt = attempt - %(refunded)s, crashes = crashes + %(crashed)s, fence = {next_fence}, worker_id = NULL,
    lease_until = NULL, changed_at = %(now)s
FROM unnest(%(numbers)s::bigint[], %(run_ats)s::bigint[]) AS given (number, run_at)
WHERE messages.number = given.number

-- name: find_expired
-- A row without a lease, of whatever origin, has run out.
SELECT id FROM messages WHERE state = 'processing' AND coalesce(lease_until, 0) <= %(now)s
ORDER BY coalesce(lease_until, 0), number LIMIT %(limit)s

-- name: lock_expired
-- Those that a worker is about to finish are left to it.
SELECT number, id, tenant, thread_id, thread_number, attempt, crashes FROM messages
WHERE id = ANY (%(ids)s::text[]) AND state = 'processing' AND coalesce(lease_until, 0) <= %(now)s
ORDER BY number FOR NO KEY UPDATE SKIP LOCKED

-- name: beat
-- A lease that ran out is not revived: the rescue has it from here on.
WITH moment AS MATERIALIZED (SELECT coalesce(%(now)s::bigint, {server_time}) AS now),
shown AS (
    INSERT INTO workers (id, host, pid, slots, started_at, last_beat)
    SELECT %(id)s, %(host)s, %(pid)s, %(slots)s, now, now FROM moment
    ON CONFLICT (id) DO UPDATE SET slots = excluded.slots, last_beat = excluded.last_beat
), held AS MATERIALIZED (
    SELECT messages.number, moment.now
    FROM moment CROSS JOIN unnest(%(ids)s::text[], %(fences)s::bigint[]) AS lease (id, fence)
    JOIN messages ON messages.id = lease.id AND messages.fence = lease.fence AND messages.state = 'processing'
        AND messages.worker_id = %(id)s AND messages.lease_until > moment.now
    ORDER BY messages.number FOR NO KEY UPDATE OF messages
)
UPDATE messages SET lease_until = held.now + %(lease_milliseconds)s
FROM held WHERE messages.number = held.number
RETURNING messages.id, messages.fence

-- name: remove_worker
DELETE FROM workers WHERE id = %(id)s

-- name: prune_workers
DELETE FROM workers WHERE last_beat < %(before)s

-- name: list_workers
SELECT id, host, pid, slots, started_at, last_beat FROM workers ORDER BY started_at, id

-- name: lock_folding
SELECT pg_try_advisory_xact_lock(hashtextextended('agent_queue.fold', 0))

-- name: is_gone
backend <> 0 AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = backend)

-- name: fold_tallies
WITH gone AS (DELETE FROM tallies WHERE {is_gone} RETURNING tenant, state, messages)
INSERT INTO tallies AS tally (backend, tenant, state, messages)
SELECT 0, tenant, state, sum(messages) FROM gone GROUP BY tenant, state
ON CONFLICT (backend, tenant, state) DO UPDATE SET messages = tally.messages + excluded.messages

-- name: fold_levels
WITH gone AS (DELETE FROM levels WHERE {is_gone} RETURNING level, waiting)
INSERT INTO levels AS kept (backend, level, waiting)
SELECT 0, level, sum(waiting) FROM gone GROUP BY level
ON CONFLICT (backend, level) DO UPDATE SET waiting = kept.waiting + excluded.waiting

-- name: fold_commits
DELETE FROM commits WHERE committed_at < now() - interval '1 day'

-- name: add_events
INSERT INTO events (message, id, type, data, created_at)
SELECT message, id, type, data, %(now)s
FROM unnest(%(messages)s::bigint[], %(ids)s::bigint[], %(types)s::text[], %(data)s::text[])
    AS given (message, id, type, data)

-- name: share_leased
-- FOR SHARE waits for a rescue or a finish that is under way, and then looks again. FOR KEY SHARE would not wait, and a
-- condition in the INSERT alone would not look again: both let a worker that lost its lease write.
SELECT messages.number, messages.id, messages.fence
FROM unnest(%(ids)s::text[], %(fences)s::bigint[]) AS lease (id, fence)
JOIN messages ON messages.id = lease.id AND messages.fence = lease.fence AND messages.state = 'processing'
ORDER BY messages.number FOR SHARE OF messages

-- name: find_log
SELECT number, state FROM messages WHERE id = %(id)s

-- name: log_bounds
SELECT
    coalesce((SELECT min(id) FROM events WHERE message = %(message)s), 0),
    coalesce((SELECT max(id) FROM events WHERE message = %(message)s), 0)

-- name: read_events
-- 262144 is PAGE_LOG_LENGTH; the data is ASCII.
SELECT id, type, data FROM (
    SELECT id, type, data,
        sum(octet_length(data)) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) - octet_length(data) AS before
    FROM events WHERE message = %(message)s AND id > %(after)s ORDER BY id LIMIT %(limit)s
) AS page WHERE before < 262144 ORDER BY id

-- name: find_prunable_logs
SELECT number, id, tenant, thread_id FROM messages
WHERE completed_at IS NOT NULL AND NOT log_pruned AND completed_at < %(before)s
ORDER BY completed_at, number LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED

-- name: prune_logs
-- The terminal event stays: a late reader is told how it ended.
DELETE FROM events USING unnest(%(numbers)s::bigint[]) AS ended (number)
WHERE message = ended.number AND id < (SELECT max(id) FROM events AS later WHERE later.message = ended.number)

-- name: mark_pruned
UPDATE messages SET log_pruned = TRUE WHERE number = ANY (%(numbers)s::bigint[])

-- name: find_prunable_messages
SELECT id FROM messages WHERE completed_at IS NOT NULL AND completed_at < %(before)s
ORDER BY completed_at, number LIMIT %(limit)s

-- name: prune_messages
DELETE FROM messages WHERE number IN (
    SELECT number FROM messages WHERE id = ANY (%(ids)s::text[]) ORDER BY number FOR UPDATE SKIP LOCKED
)
RETURNING id, tenant, thread_id, log_pruned

-- name: prune_threads
DELETE FROM threads WHERE (tenant, thread_id) IN (
    SELECT tenant, thread_id FROM threads
    WHERE last_activity < %(before)s AND unfinished + completed + failed + cancelled = 0
    ORDER BY tenant, thread_id FOR UPDATE SKIP LOCKED
)
RETURNING tenant, thread_id

-- name: notify
SELECT pg_notify('agent_queue', %(payload)s)

-- name: listen
LISTEN agent_queue
