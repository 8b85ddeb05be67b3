-- Named queries, read by `app.store.sql.named_sql`. {name} is replaced by the text of the entry `name`.
--
-- Lock order: request keys, then threads, messages, aliases, items, each sorted by key. This order rules out deadlocks. For a
-- message that is queued but neither ready nor held, the lock of its thread is enough. Tenants (`lock_running`) come last.

-- name: text_octets
octet_length(content) + coalesce(octet_length(result), 0) + coalesce(octet_length(output), 0)
+ coalesce(octet_length(metadata), 0)

-- name: server_time
(extract(epoch FROM clock_timestamp()) * 1000)::bigint

-- name: next_fence
-- At least the clock: a row that a failover restored to an earlier state must not give the same fence twice.
greatest(fence + 1, %(now)s * 1000 + mod(extract(microseconds FROM clock_timestamp())::bigint, 1000))

-- name: read_clock
-- The only use of the server's clock. Everything else is dated with the store's time, see `app.clock`.
SELECT {server_time}, epoch, correction, since, seen, boot, ahead, noted FROM clock

-- name: keep_clock_state
UPDATE clock SET epoch = %(epoch)s, correction = %(correction)s, since = %(since)s, seen = %(seen)s, boot = %(boot)s,
    ahead = %(ahead)s, noted = %(noted)s
WHERE epoch = %(read)s

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
SELECT pid, backend_start FROM pg_stat_get_activity(pg_backend_pid())

-- name: end_backend
-- No row: the backend has already ended. False: it did not end in time. The second column says whether it has committed
-- here and only waits for a synchronous standby.
SELECT pg_terminate_backend(pid, %(milliseconds)s), coalesce(wait_event = 'SyncRep', FALSE) FROM pg_stat_activity
WHERE pid = %(pid)s AND backend_start = %(started)s

-- name: find_commit
SELECT 1 FROM commits WHERE session = %(session)s AND number = %(number)s

-- name: is_read_only
-- Asks for the server's default, since read transactions are always read-only.
SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean FROM queue

-- name: queue_id
SELECT id FROM queue

-- name: count_processing
SELECT count(*) FROM messages WHERE state = 'processing'

-- name: count_queued
SELECT coalesce((SELECT sum(messages) FROM tallies WHERE state = 'unfinished'), 0)::bigint - ({count_processing})

-- name: accept_state
-- The number of queued messages; tenant, kind and name of the targets of running erasures, NULL without any; the values
-- of the limits with these names, which stay locked, NULL without any.
SELECT coalesce((SELECT sum(messages) FROM tallies WHERE state = 'unfinished'), 0)::bigint - ({count_processing}), (
    SELECT json_agg(json_build_array(tenant, kind, name)) FROM erasures WHERE ended_at IS NULL
), (
    SELECT json_object_agg(name, value) FROM ({lock_limits}) AS locked
)

-- name: count_queued_of_tenants
SELECT given.tenant, (
    SELECT coalesce(sum(messages), 0) FROM tallies WHERE tallies.tenant = given.tenant AND state = 'unfinished'
)::bigint - (SELECT count(*) FROM messages WHERE messages.tenant = given.tenant AND state = 'processing')
FROM unnest(%(tenants)s::text[]) AS given (tenant)

-- name: find_asking_threads
-- OFFSET keeps the planner from walking all threads to join them.
SELECT given.tenant, given.thread_id FROM unnest(%(tenants)s::text[], %(threads)s::text[]) AS given (tenant, thread_id)
CROSS JOIN LATERAL (
    SELECT FROM threads AS thread
    WHERE thread.tenant = given.tenant AND thread.thread_id = given.thread_id AND thread.interrupted > 0 OFFSET 0
) AS asking

-- name: enter_threads
-- Locks these threads for this transaction: two messages cannot get numbers in one order and commit in the other. The
-- threads must be sorted. Returns no row for a hidden thread. 65536 is THREAD_METADATA_LENGTH.
INSERT INTO threads AS thread (
    tenant, thread_id, last_number, created_at, last_activity, last_message_preview, unfinished, name, metadata, subject
)
SELECT tenant, thread_id, added, %(now)s, %(now)s, preview, added, name, metadata, subject
FROM unnest(
    %(tenants)s::text[], %(threads)s::text[], %(added)s::bigint[], %(previews)s::text[], %(names)s::text[],
    %(metadata)s::text[], %(subjects)s::text[]
) AS given (tenant, thread_id, added, preview, name, metadata, subject)
ON CONFLICT (tenant, thread_id) DO UPDATE SET
    last_number = thread.last_number + excluded.unfinished,
    last_activity = greatest(thread.last_activity, excluded.last_activity),
    last_message_preview = excluded.last_message_preview,
    unfinished = thread.unfinished + excluded.unfinished,
    name = coalesce(excluded.name, thread.name),
    metadata = CASE
        WHEN excluded.metadata IS NULL THEN thread.metadata
        WHEN octet_length({merged_metadata}) <= 65536 THEN {merged_metadata} ELSE thread.metadata
    END
WHERE thread.hidden IS NULL
RETURNING tenant, thread_id, last_number, unfinished, subject

-- name: merged_metadata
jsonb_strip_nulls(coalesce(thread.metadata, '{}')::jsonb || excluded.metadata::jsonb)::text

-- name: add_messages
INSERT INTO messages (
    id, tenant, thread_id, thread_number, agent, content, priority, base_rank, flow, rank, state, readiness, run_at, options,
    rollback, webhook_url, webhook_key, webhook_events, receivers, metadata, subject, key_id, trace, created_at, accepted_at,
    changed_at
)
SELECT id, tenant, thread_id, thread_number, agent, content, priority, base_rank, flow, rank, 'queued', readiness, run_at,
    options, rollback, webhook_url, webhook_key, webhook_events, receivers, metadata, subject, key_id, trace, %(now)s, %(now)s,
    %(now)s
FROM unnest(
    %(ids)s::text[], %(tenants)s::text[], %(threads)s::text[], %(thread_numbers)s::bigint[], %(agents)s::text[],
    %(contents)s::text[], %(priorities)s::text[], %(base_ranks)s::bigint[], %(flows)s::text[], %(ranks)s::bigint[],
    %(places)s::text[], %(run_ats)s::bigint[], %(options)s::text[], %(rollbacks)s::text[], %(webhook_urls)s::text[],
    %(webhook_keys)s::text[], %(webhook_events)s::text[], %(receivers)s::text[], %(metadata)s::text[], %(subjects)s::text[],
    %(key_ids)s::text[], %(traces)s::text[]
) WITH ORDINALITY AS given (
    id, tenant, thread_id, thread_number, agent, content, priority, base_rank, flow, rank, readiness, run_at, options, rollback,
    webhook_url, webhook_key, webhook_events, receivers, metadata, subject, key_id, trace, ordinal
)
ORDER BY ordinal
RETURNING id, number

-- name: lock_flows
-- Lets one transaction at a time add messages to a flow. The locks end with the transaction. Everybody who locks threads or
-- messages too locks them before.
SELECT pg_advisory_xact_lock(key) FROM (
    SELECT DISTINCT hashtextextended(tenant || ' ' || flow || ' ' || first, 0) AS key
    FROM unnest(%(tenants)s::text[], %(flows)s::text[], %(firsts)s::bigint[]) AS given (tenant, flow, first)
    ORDER BY key
) AS ordered

-- name: next_ranks
-- The rank of the next message of each flow, and the length of its turn. It is one turn after the last message of the flow,
-- but not before what was already claimed of the level. `firsts` has the first rank of each level, `length` is for the weight 1.
SELECT greatest(given.first, claimed_ranks.rank, last.base_rank + turn.length), turn.length
FROM unnest(%(tenants)s::text[], %(flows)s::text[], %(firsts)s::bigint[])
    WITH ORDINALITY AS given (tenant, flow, first, ordinal)
CROSS JOIN LATERAL (
    SELECT greatest(1, floor(%(length)s / coalesce(
        (SELECT weight FROM tenants WHERE tenants.tenant = given.tenant), 1.0
    ) + 0.5)::bigint) AS length
) AS turn
LEFT JOIN claimed_ranks ON claimed_ranks.level = given.first / 1000000000000000
LEFT JOIN LATERAL (
    SELECT base_rank FROM messages
    WHERE tenant = given.tenant AND flow = given.flow
        AND base_rank >= given.first AND base_rank < given.first + 1000000000000000
    ORDER BY base_rank DESC, number DESC LIMIT 1
) AS last ON TRUE
ORDER BY given.ordinal

-- name: last_ranks
-- The last rank in each level, NULL if no message waits in it.
SELECT (
    SELECT rank FROM messages
    WHERE state = 'queued' AND rank >= given.first AND rank < given.first + 1000000000000000
    ORDER BY rank DESC, number DESC LIMIT 1
)
FROM unnest(%(firsts)s::bigint[]) WITH ORDINALITY AS given (first, ordinal) ORDER BY given.ordinal

-- name: raise_claimed_ranks
WITH free AS MATERIALIZED (
    SELECT claimed_ranks.level, given.rank
    FROM unnest(%(ranks)s::bigint[]) AS given (rank)
    JOIN claimed_ranks ON claimed_ranks.level = given.rank / 1000000000000000 AND claimed_ranks.rank < given.rank
    FOR NO KEY UPDATE OF claimed_ranks SKIP LOCKED
)
UPDATE claimed_ranks SET rank = free.rank FROM free WHERE claimed_ranks.level = free.level

-- name: leave_flow
-- A message that was cancelled before its first attempt takes no turn.
UPDATE messages SET flow = NULL WHERE number = ANY (%(numbers)s::bigint[]) AND attempt = 0

-- name: enter_keys
-- Inserts the keys that no request has used. Only one of two transactions can insert a key. The keys must be sorted.
INSERT INTO request_keys AS known (tenant, key, fingerprint, receipts, created_at)
SELECT tenant, key, fingerprint, '', %(now)s
FROM unnest(%(tenants)s::text[], %(keys)s::text[], %(fingerprints)s::text[]) AS given (tenant, key, fingerprint)
ON CONFLICT (tenant, key) DO UPDATE SET
    fingerprint = excluded.fingerprint, receipts = excluded.receipts, created_at = excluded.created_at
WHERE known.created_at <= %(before)s
RETURNING tenant, key

-- name: find_keys
SELECT known.tenant, known.key, known.fingerprint, known.receipts
FROM unnest(%(tenants)s::text[], %(keys)s::text[]) AS given (tenant, key)
JOIN request_keys AS known ON known.tenant = given.tenant AND known.key = given.key

-- name: any_deleted
SELECT EXISTS (SELECT FROM deleted_messages WHERE id = ANY (%(ids)s::text[]))

-- name: keep_receipts
UPDATE request_keys AS known SET receipts = given.receipts
FROM unnest(%(tenants)s::text[], %(keys)s::text[], %(receipts)s::text[]) AS given (tenant, key, receipts)
WHERE known.tenant = given.tenant AND known.key = given.key

-- name: drop_keys
DELETE FROM request_keys AS known USING unnest(%(tenants)s::text[], %(keys)s::text[]) AS given (tenant, key)
WHERE known.tenant = given.tenant AND known.key = given.key

-- name: limit_values
SELECT name, value FROM limits WHERE name IN (SELECT json_array_elements_text(%(names)s::json))

-- name: lock_limits
-- In the order of the names, so that two processes do not wait for each other.
SELECT name, value FROM limits WHERE name = ANY (ARRAY(SELECT json_array_elements_text(%(names)s::json)))
ORDER BY name FOR UPDATE

-- name: add_limits
INSERT INTO limits (name, value, expires_at)
SELECT name, 0, 0 FROM json_array_elements_text(%(names)s::json) AS given (name) ORDER BY name
ON CONFLICT (name) DO NOTHING

-- name: keep_limits
UPDATE limits SET value = (given.row ->> 1)::bigint, expires_at = (given.row ->> 2)::bigint
FROM json_array_elements(%(rows)s::json) AS given (row)
WHERE limits.name = given.row ->> 0

-- name: prune_limits
DELETE FROM limits WHERE name IN (
    SELECT name FROM limits WHERE expires_at <= %(now)s ORDER BY name FOR UPDATE SKIP LOCKED
)

-- name: prune_keys
DELETE FROM request_keys WHERE (tenant, key) IN (
    SELECT tenant, key FROM request_keys WHERE created_at <= %(before)s
    ORDER BY tenant, key FOR UPDATE SKIP LOCKED
)

-- name: prune_deleted_messages
DELETE FROM deleted_messages WHERE id IN (
    SELECT id FROM deleted_messages WHERE deleted_at <= %(before)s ORDER BY id FOR UPDATE SKIP LOCKED
)

-- name: find_alias
SELECT message_id, first_event FROM aliases WHERE tenant = %(tenant)s AND alias = %(alias)s

-- name: list_aliases
SELECT alias, first_event FROM aliases WHERE message_id = %(id)s AND tenant = %(tenant)s
ORDER BY first_event, alias COLLATE "C"

-- name: named_aliases
unnest(%(tenants)s::text[], %(aliases)s::text[], %(message_ids)s::text[]) AS given (tenant, alias, message_id)

-- name: enter_aliases
-- Leaves out aliases that are taken. The aliases must be sorted, and the messages be locked or stored.
INSERT INTO aliases (tenant, alias, message_id, first_event)
SELECT tenant, alias, message_id, %(first_event)s FROM {named_aliases}
WHERE NOT EXISTS (
    SELECT FROM messages
    WHERE messages.id = given.alias AND messages.tenant = given.tenant AND given.alias <> given.message_id
)
ON CONFLICT DO NOTHING

-- name: find_taken_aliases
-- Aliases that `enter_aliases` would leave out, or has left out.
SELECT given.alias FROM {named_aliases}
WHERE EXISTS (
    SELECT FROM aliases
    WHERE aliases.tenant = given.tenant AND aliases.alias = given.alias AND aliases.message_id <> given.message_id
) OR EXISTS (
    SELECT FROM messages
    WHERE messages.id = given.alias AND messages.tenant = given.tenant AND given.alias <> given.message_id
)

-- name: lift_threads
-- Priority inheritance: messages ahead in the thread get a rank at least as good. Ranks never fall along a thread.
-- The messages to change are therefore its tail. The walk from the end stops at the first message that needs no change, or
-- at the limit. `settle_thread` continues there.
WITH bounds AS MATERIALIZED (  -- else the planner may walk the tail again for each message
    SELECT lift.*, coalesce((
        SELECT ahead.thread_number FROM (
            SELECT thread_number, rank FROM messages
            WHERE tenant = lift.tenant AND thread_id = lift.thread_id AND state = 'queued'
                AND thread_number < lift.first
            ORDER BY thread_number DESC LIMIT %(limit)s
        ) AS ahead WHERE ahead.rank <= lift.rank LIMIT 1
    ), (
        SELECT ahead.thread_number FROM messages AS ahead
        WHERE ahead.tenant = lift.tenant AND ahead.thread_id = lift.thread_id AND ahead.state = 'queued'
            AND ahead.thread_number < lift.first
        ORDER BY ahead.thread_number DESC LIMIT 1 OFFSET %(limit)s
    ), 0) AS behind
    FROM unnest(%(tenants)s::text[], %(threads)s::text[], %(ranks)s::bigint[], %(firsts)s::bigint[])
        AS lift (tenant, thread_id, rank, first)
), lifted AS (
    UPDATE messages SET rank = bounds.rank, readiness = {ready_again} FROM bounds
    WHERE messages.tenant = bounds.tenant AND messages.thread_id = bounds.thread_id AND messages.state = 'queued'
        AND messages.thread_number < bounds.first AND messages.thread_number > bounds.behind
        AND messages.rank > bounds.rank  -- not a delayed head, whose rank is NULL
    RETURNING messages.tenant, messages.thread_id, messages.thread_number
)
SELECT tenant, thread_id, min(thread_number) FROM lifted GROUP BY tenant, thread_id HAVING count(*) >= %(limit)s

-- name: settle_thread
-- Computes ranks again from the base ranks, for some messages before `below`. They inherit the rank of the next message.
UPDATE messages SET rank = settled.rank, readiness = {ready_again}
FROM (
    SELECT number, least(
        (
            SELECT rank FROM messages
            WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND state = 'queued' AND thread_number >= %(below)s
            ORDER BY thread_number LIMIT 1
        ), min(base_rank) OVER (ORDER BY thread_number DESC ROWS UNBOUNDED PRECEDING)
    ) AS rank
    FROM (
        SELECT number, base_rank, thread_number FROM messages
        WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND state = 'queued' AND thread_number < %(below)s
        ORDER BY thread_number DESC LIMIT %(limit)s
    ) AS part
) AS settled
WHERE messages.number = settled.number AND messages.rank <> settled.rank
RETURNING messages.thread_number

-- name: nth_before
-- The thread number with limit - 1 waiting messages between itself and `below`.
SELECT thread_number FROM messages
WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND state = 'queued' AND thread_number < %(below)s
ORDER BY thread_number DESC LIMIT 1 OFFSET %(limit)s - 1

-- name: lock_thread
SELECT 1 FROM threads WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s FOR NO KEY UPDATE

-- name: lock_visible_threads
SELECT thread_id FROM threads WHERE tenant = %(tenant)s AND thread_id = ANY (%(thread_ids)s::text[]) AND hidden IS NULL
ORDER BY tenant, thread_id FOR NO KEY UPDATE

-- name: find_threads_in_use
-- The threads must be locked.
SELECT thread_id FROM unnest(%(thread_ids)s::text[]) AS named (thread_id)
WHERE EXISTS (SELECT FROM messages WHERE messages.tenant = %(tenant)s AND messages.thread_id = named.thread_id)

-- name: lock_tail
-- The thread must be locked.
SELECT {locked_columns} FROM messages WHERE number = ANY (ARRAY(
    SELECT number FROM messages
    WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND state = 'queued'
    ORDER BY thread_number DESC LIMIT %(limit)s
)) AND state = 'queued' AND readiness = 'blocked'
ORDER BY number FOR NO KEY UPDATE

-- name: find_of_other_agents
SELECT 1 FROM messages
WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND state IN ('queued', 'processing', 'interrupted')
AND agent <> ALL (%(agents)s::text[]) LIMIT 1

-- name: find_key
SELECT 1 FROM request_keys WHERE tenant = %(tenant)s AND key = %(key)s AND created_at > %(after)s

-- name: inherited_ahead
-- Whether the message directly ahead in the thread inherited its rank.
SELECT rank < base_rank FROM messages
WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND state = 'queued' AND thread_number < %(thread_number)s
ORDER BY thread_number DESC LIMIT 1

-- name: lock_threads
SELECT 1 FROM threads
WHERE (tenant, thread_id) IN (SELECT tenant, thread_id FROM messages WHERE id = ANY (%(ids)s::text[]))
ORDER BY tenant, thread_id FOR NO KEY UPDATE

-- name: promote_next
-- The threads must be locked; their heads have ended. The search begins behind the heads. Until a vacuum, the index keeps
-- entries of messages that are no longer queued. An update that inserts where it searches cannot mark them as dead.
UPDATE messages SET
    readiness = CASE WHEN run_at <= %(now)s THEN 'ready' ELSE 'delayed' END,
    rank = CASE WHEN run_at <= %(now)s THEN rank END,
    changed_at = greatest(changed_at, %(now)s)
FROM unnest(%(tenants)s::text[], %(threads)s::text[], %(ended)s::bigint[]) AS thread (tenant, thread_id, ended)
CROSS JOIN LATERAL (
    SELECT number FROM messages
    WHERE tenant = thread.tenant AND thread_id = thread.thread_id AND state = 'queued'
        AND thread_number > thread.ended
    ORDER BY thread_number LIMIT 1
) AS head
WHERE messages.number = head.number

-- name: rank_of_head
-- The rank of the first unfinished message of a thread while it waits.
least(base_rank, {rank_behind})

-- name: rank_behind
(
    SELECT behind.rank FROM messages AS behind
    WHERE behind.tenant = messages.tenant AND behind.thread_id = messages.thread_id
        AND behind.state = 'queued' AND behind.thread_number > messages.thread_number
    ORDER BY behind.thread_number LIMIT 1
)

-- name: find_due
SELECT id FROM messages WHERE readiness = 'delayed' AND run_at <= %(now)s ORDER BY run_at, number LIMIT %(limit)s

-- name: lock_due
SELECT run_at, number, tenant, subject, priority, base_rank, flow FROM messages WHERE id = ANY (%(ids)s::text[]) AND readiness = 'delayed' AND run_at <= %(now)s
ORDER BY number FOR NO KEY UPDATE

-- name: promote_due
UPDATE messages SET readiness = 'ready', base_rank = given.base_rank, flow = given.flow,
    rank = least(given.base_rank, {rank_behind})
FROM unnest(%(numbers)s::bigint[], %(base_ranks)s::bigint[], %(flows)s::text[]) AS given (number, base_rank, flow)
WHERE messages.number = given.number

-- name: get_message
SELECT {message_columns} FROM messages WHERE id = %(id)s AND tenant = %(tenant)s

-- name: get_messages
SELECT {listed_columns} FROM messages
WHERE id = ANY (ARRAY(SELECT json_array_elements_text(%(ids)s::json))) AND tenant = %(tenant)s

-- name: get_head
SELECT {message_columns} FROM {head}

-- name: head
-- The first unfinished message of a thread.
messages WHERE number = coalesce(
    (SELECT number FROM messages WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND state = 'processing'),
    (SELECT number FROM messages WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND state = 'interrupted'),
    (
        SELECT number FROM messages WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND state = 'queued'
        ORDER BY thread_number LIMIT 1
    )
)

-- name: visible_thread
-- `thread_ids` is a JSON array, NULL if the caller is not narrowed to threads.
(%(subject)s::text IS NULL OR subject = %(subject)s)
AND (%(thread_ids)s::text IS NULL OR thread_id = ANY (ARRAY(SELECT json_array_elements_text(%(thread_ids)s::json)))
    OR starts_with(thread_id, %(thread_prefix)s::text))

-- name: visible_agent
(%(agents)s::text IS NULL OR agent = ANY (ARRAY(SELECT json_array_elements_text(%(agents)s::json))))

-- name: chosen
{visible_thread} AND {visible_agent} AND
(%(states)s::text IS NULL OR state = ANY (ARRAY(SELECT json_array_elements_text(%(states)s::json))))
AND (%(agent)s::text IS NULL OR agent = %(agent)s) AND (%(priority)s::text IS NULL OR priority = %(priority)s)
AND (%(error_code)s::text IS NULL OR error_code = %(error_code)s)
AND (%(fingerprint)s::text IS NULL OR fingerprint = %(fingerprint)s)
AND (%(metadata)s::text IS NULL OR ',' || substr(metadata, 2, length(metadata) - 2) || ',' ~ ALL ({wanted_patterns}))
AND {hinted}

-- name: searched_text
-- The beginning of a long text, and a short text as it is: to cut it takes twice as long as to search all of it.
(CASE WHEN octet_length(content) <= 4000 THEN content ELSE left(content, 1000) END)

-- name: hinted
-- Metadata are JSON in ASCII, so that an escape may stand for any character. The collation folds the case of ASCII alone.
(%(hint)s::text IS NULL OR strpos(lower({searched_text} COLLATE "C"), %(hint)s) > 0
    OR octet_length({searched_text}) > length({searched_text}) AND {searched_text} ~ %(folding)s
    OR strpos(lower(metadata COLLATE "C"), %(hint)s) > 0 OR strpos(metadata, '\u') > 0)

-- name: wanted_patterns
-- One regular expression for each key. A subquery on the forms would be run anew for each message.
ARRAY(
    SELECT (
        SELECT string_agg(regexp_replace(form.text, '([^[:alnum:]])', '\\\1', 'g'), '|')
        FROM json_array_elements_text(wanted.forms) AS form (text)
    )
    FROM json_array_elements(%(metadata)s::json) AS wanted (forms)
)

-- name: find_places
-- Delayed messages have no rank.
SELECT number, rank FROM messages
WHERE number = ANY (ARRAY(SELECT json_array_elements_text(%(numbers)s::json)::bigint)) AND state = 'queued'

-- name: places_to
-- Places (rank, number) from the end of a level, last first.
SELECT rank, number FROM messages
WHERE state = 'queued' AND rank >= %(rank)s AND rank < (%(rank)s / 1000000000000000 + 1) * 1000000000000000
ORDER BY rank DESC, number DESC LIMIT %(most)s

-- name: from_messages
-- Reads one range of numbers: a filter that matches nothing then reads few rows.
messages
WHERE tenant = %(tenant)s AND number < %(before)s AND number >= %(first)s AND {chosen}

-- name: list_messages
SELECT {message_columns} FROM (
    SELECT {listed_columns}, sum({text_octets})
        OVER (ORDER BY number DESC ROWS UNBOUNDED PRECEDING)
        - ({text_octets}) AS before
    FROM {from_messages}
    ORDER BY number DESC LIMIT %(limit)s
) AS page WHERE before < {page_octets} ORDER BY number DESC

-- name: count_messages
SELECT count(*) FROM (SELECT number FROM {from_messages} LIMIT %(limit)s) AS found

-- name: newest_messages
SELECT max(number) FROM messages WHERE tenant = %(tenant)s AND number < %(before)s

-- name: from_failed
-- Like list_messages, on the index of failed messages.
messages
WHERE tenant = %(tenant)s AND number < %(before)s AND number >= %(first)s AND state = 'failed' AND {chosen}

-- name: list_failed
SELECT {message_columns} FROM (
    SELECT {listed_columns}, sum({text_octets})
        OVER (ORDER BY number DESC ROWS UNBOUNDED PRECEDING)
        - ({text_octets}) AS before
    FROM {from_failed}
    ORDER BY number DESC LIMIT %(limit)s
) AS page WHERE before < {page_octets} ORDER BY number DESC

-- name: count_failed
SELECT count(*) FROM (SELECT number FROM {from_failed} LIMIT %(limit)s) AS found

-- name: newest_failed
SELECT max(number) FROM messages WHERE tenant = %(tenant)s AND number < %(before)s AND state = 'failed'

-- name: from_cancelled
-- Like list_failed.
messages
WHERE tenant = %(tenant)s AND number < %(before)s AND number >= %(first)s AND state = 'cancelled' AND {chosen}

-- name: list_cancelled
SELECT {message_columns} FROM (
    SELECT {listed_columns}, sum({text_octets})
        OVER (ORDER BY number DESC ROWS UNBOUNDED PRECEDING)
        - ({text_octets}) AS before
    FROM {from_cancelled}
    ORDER BY number DESC LIMIT %(limit)s
) AS page WHERE before < {page_octets} ORDER BY number DESC

-- name: count_cancelled
SELECT count(*) FROM (SELECT number FROM {from_cancelled} LIMIT %(limit)s) AS found

-- name: newest_cancelled
SELECT max(number) FROM messages WHERE tenant = %(tenant)s AND number < %(before)s AND state = 'cancelled'

-- name: from_of_subject
-- Like list_failed, for one subject.
messages
WHERE tenant = %(tenant)s AND subject = %(subject)s AND number < %(before)s AND number >= %(first)s AND {chosen}

-- name: list_of_subject
SELECT {message_columns} FROM (
    SELECT {listed_columns}, sum({text_octets})
        OVER (ORDER BY number DESC ROWS UNBOUNDED PRECEDING)
        - ({text_octets}) AS before
    FROM {from_of_subject}
    ORDER BY number DESC LIMIT %(limit)s
) AS page WHERE before < {page_octets} ORDER BY number DESC

-- name: count_of_subject
SELECT count(*) FROM (SELECT number FROM {from_of_subject} LIMIT %(limit)s) AS found

-- name: newest_of_subject
SELECT max(number) FROM messages WHERE tenant = %(tenant)s AND subject = %(subject)s AND number < %(before)s

-- name: from_in_thread
-- Like list_messages, for a range of a thread.
messages
WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND thread_number <= %(last)s AND thread_number >= %(first)s
    AND number < %(before)s AND {chosen}

-- name: list_in_thread
SELECT {message_columns} FROM (
    SELECT {listed_columns}, sum({text_octets})
        OVER (ORDER BY number DESC ROWS UNBOUNDED PRECEDING)
        - ({text_octets}) AS before
    FROM {from_in_thread}
    ORDER BY thread_number DESC LIMIT %(limit)s
) AS page WHERE before < {page_octets} ORDER BY number DESC

-- name: count_in_thread
SELECT count(*) FROM (SELECT number FROM {from_in_thread} LIMIT %(limit)s) AS found

-- name: newest_in_thread
SELECT thread_number, number FROM messages WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s
ORDER BY thread_number DESC LIMIT 1

-- name: newest_in_thread_before
-- Finds the place in the thread by the message of the cursor. If this message is deleted, walks the thread.
SELECT thread_number, number FROM messages
WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND number < %(before)s
    AND thread_number <= coalesce((
        SELECT cursor.thread_number FROM messages AS cursor
        WHERE cursor.number = %(before)s AND cursor.tenant = %(tenant)s AND cursor.thread_id = %(thread_id)s
    ), 4611686018427387904)
ORDER BY thread_number DESC LIMIT 1

-- name: number_in_thread
SELECT number FROM messages WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND thread_number <= %(below)s
ORDER BY thread_number DESC LIMIT 1

-- name: from_unfinished_messages
-- Like list_messages, but by state, for few unfinished messages.
(
    SELECT * FROM messages WHERE number = ANY (ARRAY(
        SELECT number FROM messages WHERE state = 'queued' AND rank IS NOT NULL
        UNION ALL SELECT number FROM messages WHERE readiness = 'delayed'
        UNION ALL SELECT number FROM messages WHERE state = 'processing'
        UNION ALL SELECT number FROM messages WHERE state = 'interrupted'
    )) OFFSET 0  -- keeps the planner from the tenant's index
) AS messages WHERE tenant = %(tenant)s AND number < %(before)s AND {chosen}

-- name: list_unfinished_messages
SELECT {message_columns} FROM (
    SELECT {listed_columns}, sum({text_octets})
        OVER (ORDER BY number DESC ROWS UNBOUNDED PRECEDING)
        - ({text_octets}) AS before
    FROM {from_unfinished_messages}
    ORDER BY number DESC LIMIT %(limit)s
) AS page WHERE before < {page_octets} ORDER BY number DESC

-- name: count_unfinished_messages
SELECT count(*) FROM (SELECT number FROM {from_unfinished_messages} LIMIT %(limit)s) AS found

-- name: count_unfinished
SELECT coalesce(sum(messages), 0)::bigint FROM tallies
WHERE state IN ('unfinished', 'interrupted')

-- name: list_attempts
-- `|| ''` keeps the planner from the index of the tenant's messages.
SELECT messages.id, attempts.attempt, attempts.worker_id, attempts.started_at, attempts.ended_at, attempts.error,
    attempts.error_code, attempts.details
FROM json_array_elements_text(%(ids)s::json) AS named (id)
JOIN messages ON messages.id = named.id AND messages.tenant || '' = %(tenant)s
JOIN attempts ON attempts.message = messages.number
ORDER BY messages.number, attempts.fence

-- name: group_dead_letters
-- Counts from the index alone and reads only the newest row of each group.
WITH kinds AS MATERIALIZED (
    SELECT fingerprint, count(*) AS messages, min(completed_at) AS first, max(completed_at) AS last
    FROM messages WHERE tenant = %(tenant)s AND state = 'failed'
    GROUP BY fingerprint ORDER BY last DESC, fingerprint LIMIT %(limit)s
)
SELECT kinds.fingerprint, kinds.messages, newest.error, newest.error_code, kinds.first, kinds.last
FROM kinds CROSS JOIN LATERAL (
    SELECT error, error_code FROM messages
    WHERE tenant = %(tenant)s AND fingerprint = kinds.fingerprint AND state = 'failed'
    ORDER BY completed_at DESC, number DESC LIMIT 1
) AS newest
ORDER BY kinds.last DESC, kinds.fingerprint

-- name: throughput
-- Reads at most 20 times the limit. If few of the newest messages completed, the mean is of these few.
SELECT paused, (
    SELECT coalesce(json_agg(json_build_array(slots, agents)), '[]')::text FROM (
        SELECT sum(slots)::bigint AS slots, agents FROM workers WHERE state = 'active' GROUP BY agents
    ) AS grouped
), (SELECT count(*) FROM workers WHERE state <> 'active'), ({count_processing}), (
    SELECT avg(completed_at - started_at)::float8 FROM (
        SELECT completed_at, started_at FROM (
            SELECT completed_at, started_at, state FROM messages WHERE completed_at IS NOT NULL
            ORDER BY completed_at DESC, number DESC LIMIT 20 * %(limit)s
        ) AS ended WHERE state = 'completed' LIMIT %(limit)s
    ) AS completed
) FROM queue

-- name: count_running_by_agents
SELECT workers.agents, count(*) FROM messages JOIN workers ON workers.id = messages.worker_id
WHERE messages.state = 'processing' AND workers.state = 'active' GROUP BY workers.agents

-- name: pause
WITH changed AS (UPDATE queue SET paused = %(paused)s WHERE paused <> %(paused)s RETURNING paused)
INSERT INTO transitions (at, tenant, type, message_id, agent, priority)
SELECT %(now)s, '', CASE WHEN paused THEN 'queue.paused' ELSE 'queue.resumed' END, '', '', '' FROM changed

-- name: place_in_queue
SELECT number, rank, readiness FROM messages WHERE id = %(id)s AND tenant = %(tenant)s AND state = 'queued'

-- name: find_ranks
SELECT number, rank FROM messages WHERE number = ANY (%(numbers)s::bigint[]) AND state = 'queued'

-- name: count_levels
-- The numbers of waiting messages in better levels than the rank's, and in its own level.
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

-- name: count_overtaking
-- Looks at the first messages of the level.
SELECT count(*) FROM (
    SELECT number FROM messages
    WHERE state = 'queued' AND rank >= %(rank)s::bigint / 1000000000000000 * 1000000000000000 AND rank < %(rank)s
    ORDER BY rank, number LIMIT %(most)s
) AS first WHERE number > %(number)s

-- name: count_after
SELECT count(*) FROM (
    SELECT 1 FROM messages
    WHERE state = 'queued' AND rank < (%(rank)s / 1000000000000000 + 1) * 1000000000000000
        AND (rank, number) > (%(rank)s, %(number)s)
    LIMIT %(most)s
) AS behind

-- name: count_between
-- The messages from the place (first, from) to before the place (rank, number), in the same level. The planner takes
-- comparisons of rows for not selective, and would read the whole table.
SELECT count(*) FROM (
    SELECT 1 FROM messages
    WHERE state = 'queued' AND rank BETWEEN %(first)s AND %(rank)s
        AND (rank > %(first)s OR number >= %(from)s) AND (rank < %(rank)s OR number < %(number)s)
    LIMIT %(most)s
) AS between_places

-- name: places_from
-- Places (rank, number) of a level from the given place on.
SELECT rank, number FROM messages
WHERE state = 'queued' AND rank < (%(rank)s / 1000000000000000 + 1) * 1000000000000000
    AND (rank, number) >= (%(rank)s, %(number)s)
ORDER BY rank, number LIMIT %(most)s

-- name: list_queued
-- This list and the next ones end early, so that a page takes little memory.
SELECT {message_columns} FROM (
    SELECT {listed_columns}, rank, sum(octet_length(content)) OVER (ORDER BY rank, number ROWS UNBOUNDED PRECEDING)
        - octet_length(content) AS before
    FROM messages
    WHERE state = 'queued' AND rank IS NOT NULL AND tenant = %(tenant)s
    ORDER BY rank, number LIMIT %(limit)s
) AS page WHERE before < {page_octets} ORDER BY rank, number

-- name: page_octets
-- PAGE_TEXT_LENGTH with the 4 bytes that a character has at most in UTF-8. The caller then cuts the page by characters.
16777216

-- name: list_delayed
SELECT {message_columns} FROM (
    SELECT {listed_columns}, sum(octet_length(content)) OVER (ORDER BY run_at, number ROWS UNBOUNDED PRECEDING)
        - octet_length(content) AS before
    FROM messages
    WHERE readiness = 'delayed' AND tenant = %(tenant)s
    ORDER BY run_at, number LIMIT %(limit)s
) AS page WHERE before < {page_octets} ORDER BY run_at, number

-- name: list_processing
SELECT {message_columns} FROM (
    SELECT {listed_columns}, changed_at,
        sum(octet_length(content)) OVER (ORDER BY changed_at, number ROWS UNBOUNDED PRECEDING) - octet_length(content)
        AS before
    FROM messages
    WHERE state = 'processing' AND tenant = %(tenant)s
    ORDER BY changed_at, number LIMIT %(limit)s
) AS page WHERE before < {page_octets} ORDER BY changed_at, number

-- name: list_thread_messages
SELECT {message_columns} FROM (
    SELECT {listed_columns}, sum({text_octets})
        OVER (ORDER BY thread_number ROWS UNBOUNDED PRECEDING)
        - ({text_octets}) AS before
    FROM messages
    WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND thread_number > %(after)s
        AND {visible_agent}
    ORDER BY thread_number LIMIT %(limit)s
) AS page WHERE before < {page_octets} ORDER BY thread_number

-- name: tallies
WITH running AS (
    SELECT priority, count(*) AS messages FROM messages WHERE state = 'processing' AND tenant = %(tenant)s GROUP BY priority
)
SELECT state, priority, sum(messages)::bigint FROM (
    SELECT CASE state WHEN 'unfinished' THEN 'queued' ELSE state END AS state, priority, messages
    FROM tallies WHERE tenant = %(tenant)s
    UNION ALL
    SELECT 'queued', priority, -messages FROM running
    UNION ALL
    SELECT 'processing', '', messages FROM running
) AS counted GROUP BY state, priority

-- name: count_states
-- The messages of all tenants by state.
SELECT CASE state WHEN 'unfinished' THEN 'queued' ELSE state END,
    sum(messages)::bigint - CASE state WHEN 'unfinished' THEN ({count_processing}) ELSE 0 END
FROM tallies GROUP BY state
UNION ALL
SELECT 'processing', ({count_processing})

-- name: count_waiting
-- The waiting messages of all tenants by level.
SELECT level, sum(waiting)::bigint FROM (
    SELECT level, waiting FROM levels
    UNION ALL
    SELECT rank / 1000000000000000, -1 FROM messages WHERE state = 'processing' AND rank IS NOT NULL
) AS counted GROUP BY level

-- name: first_waiting
-- The first waiting message of a level.
SELECT accepted_at, run_at FROM messages
WHERE state = 'queued' AND rank >= %(rank)s::bigint AND rank < %(rank)s::bigint + 1000000000000000
ORDER BY rank, number LIMIT 1

-- name: chosen_thread
-- `ids` is a JSON array; `metadata` is that of `wanted_thread_metadata`.
{visible_thread} AND (%(status)s::text IS NULL OR status = %(status)s)
AND (%(ids)s::text IS NULL OR thread_id IN (SELECT jsonb_array_elements_text(%(ids)s::jsonb)))
AND (%(metadata)s::text IS NULL OR NOT EXISTS (
    SELECT FROM jsonb_array_elements(%(metadata)s::jsonb) AS wanted WHERE NOT EXISTS (
        SELECT FROM jsonb_array_elements_text(wanted -> 1) AS form WHERE form = metadata::jsonb ->> (wanted ->> 0)
    )
))

-- name: listed_threads
-- The threads of a list, each with whether it matches the filter. The reader leaves out those that do not. A claim counts as
-- activity of the thread, but locks no thread. Its time is in the running message until the attempt ends.
WITH running AS (
    SELECT thread_id, changed_at FROM messages
    WHERE state = 'processing' AND tenant = %(tenant)s AND thread_id IS NOT NULL
)
SELECT thread_id, last_number, created_at, last_activity, last_message_preview, name, metadata, forked_from, subject,
    ttl_ms, last_ended, unfinished - interrupted - running, running, completed, failed, cancelled, interrupted, {chosen_thread}

-- name: idle_threads
SELECT thread_id, last_number, created_at, last_activity, last_message_preview, name, metadata, forked_from, subject,
    ttl_ms, last_ended, unfinished, 0 AS running, completed, failed, cancelled, interrupted, status
FROM threads
WHERE tenant = %(tenant)s AND hidden IS NULL AND NOT EXISTS (SELECT FROM running WHERE running.thread_id = threads.thread_id)

-- name: running_threads
SELECT threads.thread_id, threads.last_number, threads.created_at,
    greatest(threads.last_activity, running.changed_at) AS last_activity, threads.last_message_preview, threads.name,
    threads.metadata, threads.forked_from, threads.subject, threads.ttl_ms, threads.last_ended, threads.unfinished,
    (running.thread_id IS NOT NULL)::int AS running, threads.completed, threads.failed, threads.cancelled,
    threads.interrupted, threads.status

-- name: list_threads_by_updated_desc
{listed_threads} FROM (
    (
        {idle_threads}
            AND (last_activity, thread_id) < (%(time)s, %(thread_id)s::text COLLATE "C")
        ORDER BY last_activity DESC, thread_id DESC LIMIT %(window)s
    )
    UNION ALL
    {running_threads} FROM running JOIN threads ON threads.tenant = %(tenant)s AND threads.thread_id = running.thread_id
    WHERE (greatest(threads.last_activity, running.changed_at), threads.thread_id)
        < (%(time)s, %(thread_id)s::text COLLATE "C")
) AS page
ORDER BY last_activity DESC, thread_id DESC LIMIT %(window)s

-- name: list_threads_by_updated_asc
{listed_threads} FROM (
    (
        {idle_threads}
            AND (last_activity, thread_id) > (%(time)s, %(thread_id)s::text COLLATE "C")
        ORDER BY last_activity ASC, thread_id ASC LIMIT %(window)s
    )
    UNION ALL
    {running_threads} FROM running JOIN threads ON threads.tenant = %(tenant)s AND threads.thread_id = running.thread_id
    WHERE (greatest(threads.last_activity, running.changed_at), threads.thread_id)
        > (%(time)s, %(thread_id)s::text COLLATE "C")
) AS page
ORDER BY last_activity ASC, thread_id ASC LIMIT %(window)s

-- name: list_threads_by_created_desc
{listed_threads} FROM (
    {running_threads} FROM (
        SELECT * FROM threads WHERE tenant = %(tenant)s AND hidden IS NULL
            AND (created_at, thread_id) < (%(time)s, %(thread_id)s::text COLLATE "C")
        ORDER BY created_at DESC, thread_id DESC LIMIT %(window)s
    ) AS threads LEFT JOIN running ON running.thread_id = threads.thread_id
) AS page
ORDER BY created_at DESC, thread_id DESC

-- name: list_threads_by_created_asc
{listed_threads} FROM (
    {running_threads} FROM (
        SELECT * FROM threads WHERE tenant = %(tenant)s AND hidden IS NULL
            AND (created_at, thread_id) > (%(time)s, %(thread_id)s::text COLLATE "C")
        ORDER BY created_at ASC, thread_id ASC LIMIT %(window)s
    ) AS threads LEFT JOIN running ON running.thread_id = threads.thread_id
) AS page
ORDER BY created_at ASC, thread_id ASC

-- name: list_threads_of_subject_by_updated_desc
{listed_threads} FROM (
    (
        {idle_threads} AND subject = %(subject)s
            AND (last_activity, thread_id) < (%(time)s, %(thread_id)s::text COLLATE "C")
        ORDER BY last_activity DESC, thread_id DESC LIMIT %(window)s
    )
    UNION ALL
    {running_threads} FROM running JOIN threads ON threads.tenant = %(tenant)s AND threads.thread_id = running.thread_id
    WHERE (greatest(threads.last_activity, running.changed_at), threads.thread_id)
        < (%(time)s, %(thread_id)s::text COLLATE "C")
) AS page
ORDER BY last_activity DESC, thread_id DESC LIMIT %(window)s

-- name: list_threads_of_subject_by_updated_asc
{listed_threads} FROM (
    (
        {idle_threads} AND subject = %(subject)s
            AND (last_activity, thread_id) > (%(time)s, %(thread_id)s::text COLLATE "C")
        ORDER BY last_activity ASC, thread_id ASC LIMIT %(window)s
    )
    UNION ALL
    {running_threads} FROM running JOIN threads ON threads.tenant = %(tenant)s AND threads.thread_id = running.thread_id
    WHERE (greatest(threads.last_activity, running.changed_at), threads.thread_id)
        > (%(time)s, %(thread_id)s::text COLLATE "C")
) AS page
ORDER BY last_activity ASC, thread_id ASC LIMIT %(window)s

-- name: list_threads_of_subject_by_created_desc
{listed_threads} FROM (
    {running_threads} FROM (
        SELECT * FROM threads WHERE tenant = %(tenant)s AND hidden IS NULL AND subject = %(subject)s
            AND (created_at, thread_id) < (%(time)s, %(thread_id)s::text COLLATE "C")
        ORDER BY created_at DESC, thread_id DESC LIMIT %(window)s
    ) AS threads LEFT JOIN running ON running.thread_id = threads.thread_id
) AS page
ORDER BY created_at DESC, thread_id DESC

-- name: list_threads_of_subject_by_created_asc
{listed_threads} FROM (
    {running_threads} FROM (
        SELECT * FROM threads WHERE tenant = %(tenant)s AND hidden IS NULL AND subject = %(subject)s
            AND (created_at, thread_id) > (%(time)s, %(thread_id)s::text COLLATE "C")
        ORDER BY created_at ASC, thread_id ASC LIMIT %(window)s
    ) AS threads LEFT JOIN running ON running.thread_id = threads.thread_id
) AS page
ORDER BY created_at ASC, thread_id ASC

-- name: list_threads_of_status_by_updated_desc
{listed_threads} FROM (
    (
        {idle_threads} AND status = %(status)s AND status <> 'idle'
            AND (last_activity, thread_id) < (%(time)s, %(thread_id)s::text COLLATE "C")
        ORDER BY last_activity DESC, thread_id DESC LIMIT %(window)s
    )
    UNION ALL
    {running_threads} FROM running JOIN threads ON threads.tenant = %(tenant)s AND threads.thread_id = running.thread_id
    WHERE (greatest(threads.last_activity, running.changed_at), threads.thread_id)
        < (%(time)s, %(thread_id)s::text COLLATE "C")
) AS page
ORDER BY last_activity DESC, thread_id DESC LIMIT %(window)s

-- name: list_threads_of_status_by_updated_asc
{listed_threads} FROM (
    (
        {idle_threads} AND status = %(status)s AND status <> 'idle'
            AND (last_activity, thread_id) > (%(time)s, %(thread_id)s::text COLLATE "C")
        ORDER BY last_activity ASC, thread_id ASC LIMIT %(window)s
    )
    UNION ALL
    {running_threads} FROM running JOIN threads ON threads.tenant = %(tenant)s AND threads.thread_id = running.thread_id
    WHERE (greatest(threads.last_activity, running.changed_at), threads.thread_id)
        > (%(time)s, %(thread_id)s::text COLLATE "C")
) AS page
ORDER BY last_activity ASC, thread_id ASC LIMIT %(window)s

-- name: list_threads_of_status_by_created_desc
{listed_threads} FROM (
    {running_threads} FROM (
        SELECT * FROM threads WHERE tenant = %(tenant)s AND hidden IS NULL AND status = %(status)s AND status <> 'idle'
            AND (created_at, thread_id) < (%(time)s, %(thread_id)s::text COLLATE "C")
        ORDER BY created_at DESC, thread_id DESC LIMIT %(window)s
    ) AS threads LEFT JOIN running ON running.thread_id = threads.thread_id
) AS page
ORDER BY created_at DESC, thread_id DESC

-- name: list_threads_of_status_by_created_asc
{listed_threads} FROM (
    {running_threads} FROM (
        SELECT * FROM threads WHERE tenant = %(tenant)s AND hidden IS NULL AND status = %(status)s AND status <> 'idle'
            AND (created_at, thread_id) > (%(time)s, %(thread_id)s::text COLLATE "C")
        ORDER BY created_at ASC, thread_id ASC LIMIT %(window)s
    ) AS threads LEFT JOIN running ON running.thread_id = threads.thread_id
) AS page
ORDER BY created_at ASC, thread_id ASC

-- name: list_threads_of_ids
{listed_threads} FROM (
    {running_threads} FROM threads LEFT JOIN running ON running.thread_id = threads.thread_id
    WHERE tenant = %(tenant)s AND hidden IS NULL
        AND threads.thread_id = ANY (ARRAY(SELECT jsonb_array_elements_text(%(ids)s::jsonb)))
) AS page

-- name: count_threads
SELECT count(*) FILTER (WHERE matches), count(*), max(thread_id) FROM (
    SELECT thread_id, {chosen_thread} AS matches FROM threads
    WHERE tenant = %(tenant)s AND hidden IS NULL AND thread_id > %(after)s ORDER BY thread_id LIMIT %(window)s
) AS part

-- name: count_threads_of_subject
SELECT count(*) FROM threads
WHERE tenant = %(tenant)s AND hidden IS NULL AND threads.subject = %(subject)s AND {chosen_thread}

-- name: count_threads_of_status
SELECT count(*) FROM threads
WHERE tenant = %(tenant)s AND hidden IS NULL AND threads.status = %(status)s AND threads.status <> 'idle' AND {chosen_thread}

-- name: count_threads_of_ids
SELECT count(*) FROM threads
WHERE tenant = %(tenant)s AND hidden IS NULL
    AND threads.thread_id = ANY (ARRAY(SELECT jsonb_array_elements_text(%(ids)s::jsonb))) AND {chosen_thread}

-- name: get_thread
SELECT threads.thread_id, threads.last_number, threads.created_at,
    greatest(threads.last_activity, running.changed_at), threads.last_message_preview, threads.name, threads.metadata,
    threads.forked_from, threads.subject, threads.ttl_ms, threads.last_ended,
    threads.unfinished - threads.interrupted - count(running.number),
    count(running.number),
    threads.completed, threads.failed, threads.cancelled, threads.interrupted
FROM threads LEFT JOIN messages AS running
    ON running.tenant = threads.tenant AND running.thread_id = threads.thread_id AND running.state = 'processing'
WHERE threads.tenant = %(tenant)s AND threads.thread_id = %(thread_id)s AND threads.hidden IS NULL
GROUP BY threads.tenant, threads.thread_id, running.changed_at

-- name: find_subject
SELECT subject FROM threads WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND hidden IS NULL

-- name: lock_visible_thread
SELECT metadata, last_number FROM threads
WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND hidden IS NULL FOR NO KEY UPDATE

-- name: find_head
-- The number, the fence, the state and the ids to roll back.
SELECT number, fence, state, rollback FROM {head}

-- name: change_thread
UPDATE threads SET
    name = CASE WHEN %(renames)s THEN %(name)s ELSE name END, metadata = %(metadata)s,
    ttl_ms = CASE WHEN %(sets_ttl)s THEN %(ttl_ms)s::bigint ELSE ttl_ms END
WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s

-- name: lock_thread_messages
-- The thread must be locked. FOR UPDATE, since they are deleted: a claim then skips them.
SELECT number, id, state FROM messages WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s
ORDER BY number FOR UPDATE

-- name: cancel_thread
-- The triggers keep the totals.
UPDATE messages SET
    state = 'cancelled', readiness = NULL, rank = NULL, interrupt_expires_at = NULL, changed_at = %(now)s,
    completed_at = %(now)s
WHERE number = ANY (%(numbers)s::bigint[])

-- name: note_deleted
-- Older messages have no request keys any more.
INSERT INTO deleted_messages (id, deleted_at)
SELECT id, %(now)s FROM messages
WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND created_at > %(after)s

-- name: hide_threads
-- Only the name of its memory is left of a hidden thread.
WITH hidden AS (
    UPDATE threads SET
        hidden = 'deleted', last_message_preview = '', name = NULL, metadata = NULL, forked_from = NULL, subject = NULL,
        ttl_ms = NULL
    WHERE tenant = %(tenant)s AND thread_id = ANY (%(thread_ids)s::text[])
    RETURNING tenant, thread_id
), recorded AS (
    INSERT INTO transitions (at, tenant, type, message_id, thread_id, agent, priority)
    SELECT %(now)s, tenant, 'thread.deleted', '', thread_id, '', '' FROM hidden
)
INSERT INTO dropped_memories SELECT tenant, thread_id, '' FROM hidden ON CONFLICT DO NOTHING

-- name: create_thread
INSERT INTO threads (
    tenant, thread_id, subject, last_number, created_at, last_activity, last_message_preview, name, metadata, ttl_ms, unfinished
)
VALUES (%(tenant)s, %(thread_id)s, %(subject)s, 0, %(now)s, %(now)s, '', %(name)s, %(metadata)s, %(ttl_ms)s, 0)
ON CONFLICT DO NOTHING
RETURNING 1

-- name: draft_thread
INSERT INTO threads (tenant, thread_id, last_number, created_at, last_activity, last_message_preview, unfinished, hidden)
VALUES (%(tenant)s, %(thread_id)s, 0, %(now)s, %(now)s, '', 0, 'draft')
ON CONFLICT DO NOTHING
RETURNING 1

-- name: find_expired_threads
-- Threads with a TTL of their own, then others by the server's, NULL for none. Unfinished threads stay.
WITH RECURSIVE owners (owner) AS (
    SELECT (SELECT min(tenant) FROM threads WHERE tenant >= '' AND %(default_ttl)s::bigint IS NOT NULL)
    UNION ALL
    SELECT (SELECT min(tenant) FROM threads WHERE tenant > owner) FROM owners WHERE owner IS NOT NULL
)
SELECT tenant, thread_id FROM threads
WHERE ttl_ms IS NOT NULL AND last_activity + ttl_ms <= %(now)s AND unfinished = 0 AND hidden IS NULL
UNION ALL
SELECT idle.* FROM owners CROSS JOIN LATERAL (
    SELECT tenant, thread_id FROM threads
    WHERE tenant = owner AND last_activity <= %(now)s::bigint - %(default_ttl)s::bigint AND ttl_ms IS NULL
        AND unfinished = 0 AND hidden IS NULL
    ORDER BY last_activity, thread_id LIMIT %(limit)s
) AS idle
LIMIT %(limit)s

-- name: lock_expired_thread
SELECT 1 FROM threads
WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND hidden IS NULL AND unfinished = 0
    AND last_activity + coalesce(ttl_ms, %(default_ttl)s::bigint) <= %(now)s
FOR NO KEY UPDATE

-- name: publish_thread
UPDATE threads SET
    hidden = NULL, name = %(name)s, metadata = %(metadata)s, forked_from = %(forked_from)s, subject = %(subject)s,
    last_activity = %(now)s
WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND hidden = 'draft'
RETURNING 1

-- name: abandon_draft
WITH abandoned AS (
    UPDATE threads SET hidden = 'deleted' WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND hidden = 'draft'
    RETURNING tenant, thread_id
)
INSERT INTO dropped_memories SELECT tenant, thread_id, '' FROM abandoned ON CONFLICT DO NOTHING

-- name: abandon_old_drafts
WITH old AS (
    SELECT tenant, thread_id FROM threads WHERE hidden = 'draft' AND created_at < %(before)s FOR UPDATE SKIP LOCKED
), abandoned AS (
    UPDATE threads SET hidden = 'deleted' FROM old
    WHERE threads.tenant = old.tenant AND threads.thread_id = old.thread_id
    RETURNING threads.tenant, threads.thread_id
)
INSERT INTO dropped_memories SELECT tenant, thread_id, '' FROM abandoned ON CONFLICT DO NOTHING

-- name: claim
-- No message starts earlier than the change that made it ready. Another process may have dated this change. Clocks of
-- processes differ by the time of one answer from the server. Messages of tenants with a limit of running messages stay,
-- locked; see `find_candidates`.
WITH {picked}
UPDATE messages SET {taken}
FROM (
    SELECT number, own FROM picked WHERE {most_running} = 0
) AS picked
WHERE messages.number = picked.number
RETURNING {claimed_columns}, rank, changed_at

-- name: picked
-- `wanted` has the versions to look for: none, and the worker's. `own` has the worker's version of the agent.
-- With several lists, first finds how many messages of each to claim, so that only claimed messages are locked.
quota AS (
    SELECT agent, wanted, own, count(*) AS most FROM (
        SELECT named.* FROM (SELECT FROM queue WHERE NOT paused) AS working
        CROSS JOIN unnest(%(agents)s::text[], %(wanted)s::text[], %(own)s::text[]) AS named (agent, wanted, own)
        CROSS JOIN LATERAL (
            SELECT rank, number FROM messages
            WHERE readiness = 'ready' AND agent = named.agent AND agent_version = named.wanted
            ORDER BY rank, number LIMIT %(limit)s
        ) AS ready
        ORDER BY ready.rank, ready.number LIMIT %(limit)s
    ) AS first GROUP BY agent, wanted, own
), picked AS MATERIALIZED (
    SELECT ready.*, quota.own FROM quota CROSS JOIN LATERAL (
        SELECT rank, number, tenant FROM messages
        WHERE readiness = 'ready' AND agent = quota.agent AND agent_version = quota.wanted
        ORDER BY rank, number LIMIT quota.most FOR NO KEY UPDATE SKIP LOCKED
    ) AS ready
)

-- name: taken
state = 'processing', readiness = NULL, attempt = attempt + 1,
fence = {next_fence}, worker_id = %(worker_id)s, lease_until = %(now)s + %(lease_milliseconds)s,
started_at = coalesce(started_at, greatest(%(now)s, changed_at)), changed_at = greatest(%(now)s, changed_at),
agent_version = picked.own

-- name: most_running
-- How many messages a tenant may run; 0 for any number. A join would walk all tenants while these are few.
coalesce((SELECT running FROM tenants WHERE tenants.tenant = picked.tenant), %(running)s::bigint)

-- name: has_limits
SELECT EXISTS (SELECT FROM tenants WHERE running > 0)

-- name: find_candidates
-- Locks the first ready messages, to decide which of them may run.
WITH {picked}
SELECT rank, number, tenant, own, {most_running} FROM picked

-- name: claim_candidates
-- The messages must be locked.
UPDATE messages SET {taken}
FROM unnest(%(numbers)s::bigint[], %(own)s::text[]) AS picked (number, own) WHERE messages.number = picked.number
RETURNING {claimed_columns}, rank, changed_at

-- name: lock_running
-- Lets one claim at a time count the running messages of a tenant.
SELECT pg_advisory_xact_lock(key) FROM (
    SELECT DISTINCT {running_key} AS key FROM unnest(%(tenants)s::text[]) AS given (tenant) ORDER BY key
) AS ordered

-- name: try_to_lock_running
SELECT tenant FROM unnest(%(tenants)s::text[]) AS given (tenant) WHERE pg_try_advisory_xact_lock({running_key})

-- name: running_key
hashtextextended('agent_queue.running ' || tenant, 0)

-- name: find_room
-- How many more messages these tenants may run. Tenants without a limit have no row.
SELECT tenant, most - (SELECT count(*) FROM messages WHERE messages.tenant = limited.tenant AND state = 'processing')
FROM (
    SELECT tenant, {most_running} AS most FROM unnest(%(tenants)s::text[]) AS picked (tenant)
) AS limited
WHERE most > 0

-- name: hold_back
-- The messages must be locked.
UPDATE messages SET readiness = 'held' WHERE number = ANY (%(numbers)s::bigint[])

-- name: release_held
-- Makes the first held messages of tenants ready, of each agent and version. Seeks these in an index with one entry for
-- each message. Skips messages that others are changing. Returns how many of each tenant.
WITH RECURSIVE agents (tenant, most, agent) AS (
    SELECT given.tenant, given.most, (
        SELECT min(held.agent) FROM messages AS held WHERE held.readiness = 'held' AND held.tenant = given.tenant
    )
    FROM unnest(%(tenants)s::text[], %(counts)s::bigint[]) AS given (tenant, most)
    UNION ALL
    SELECT tenant, most, (
        SELECT min(held.agent) FROM messages AS held
        WHERE held.readiness = 'held' AND held.tenant = agents.tenant AND held.agent > agents.agent
    )
    FROM agents WHERE agent IS NOT NULL
), versions (tenant, most, agent, version) AS (
    SELECT tenant, most, agent, (
        SELECT min(held.agent_version) FROM messages AS held
        WHERE held.readiness = 'held' AND held.tenant = agents.tenant AND held.agent = agents.agent
    )
    FROM agents WHERE agent IS NOT NULL
    UNION ALL
    SELECT tenant, most, agent, (
        SELECT min(held.agent_version) FROM messages AS held
        WHERE held.readiness = 'held' AND held.tenant = versions.tenant AND held.agent = versions.agent
            AND held.agent_version > versions.version
    )
    FROM versions WHERE version IS NOT NULL
), picked AS MATERIALIZED (
    SELECT first.number FROM versions CROSS JOIN LATERAL (
        SELECT number FROM messages
        WHERE readiness = 'held' AND tenant = versions.tenant AND agent = versions.agent
            AND agent_version = versions.version
        ORDER BY rank, number LIMIT versions.most FOR NO KEY UPDATE SKIP LOCKED
    ) AS first
    WHERE version IS NOT NULL
), released AS (
    UPDATE messages SET readiness = 'ready' FROM picked WHERE messages.number = picked.number RETURNING tenant
)
SELECT tenant, count(*) FROM released GROUP BY tenant

-- name: list_holding_tenants
-- The tenants with held messages. Seeks each of them.
WITH RECURSIVE holding (tenant) AS (
    SELECT min(tenant) FROM messages WHERE readiness = 'held'
    UNION ALL
    SELECT (SELECT min(messages.tenant) FROM messages WHERE readiness = 'held' AND messages.tenant > holding.tenant)
    FROM holding WHERE tenant IS NOT NULL
)
SELECT tenant FROM holding WHERE tenant IS NOT NULL

-- name: ready_again
-- A held message that gets another rank is ready again, since it may now be the first of its tenant.
CASE readiness WHEN 'held' THEN 'ready' ELSE readiness END

-- name: claimed_columns
messages.number, id, tenant, thread_id, thread_number, agent, content, priority, state, created_at, started_at,
completed_at, result, error, error_code, attempt, fence, options, readiness, run_at, crashes, cancel_requested, fingerprint,
interrupt, interrupt_expires_at, resume_value, rollback, webhook_url, output, webhook_events, metadata, agent_version,
webhook_key, subject, key_id, trace, receivers

-- name: locked_columns
messages.number, messages.id, messages.tenant, messages.thread_id, messages.thread_number, messages.state,
messages.agent, messages.readiness, messages.attempt, messages.crashes, messages.fence, messages.cancel_requested,
messages.webhook_url, messages.webhook_events, messages.receivers,
coalesce((SELECT running FROM tenants WHERE tenants.tenant = messages.tenant), 0) > 0

-- name: lock_leased
-- Guards every change of an attempt. FOR UPDATE, here and in lock_expired, conflicts with `share_leased`.
SELECT {locked_columns}
FROM unnest(%(ids)s::text[], %(fences)s::bigint[]) AS lease (id, fence)
JOIN messages ON messages.id = lease.id AND messages.fence = lease.fence AND messages.state = 'processing'
ORDER BY messages.number FOR UPDATE OF messages

-- name: lock_message
SELECT {locked_columns} FROM messages WHERE id = %(id)s AND tenant = %(tenant)s FOR NO KEY UPDATE

-- name: lock_messages
-- FOR UPDATE, since a requeue changes the number, which is a key.
SELECT {locked_columns} FROM messages WHERE id = ANY (%(ids)s::text[]) AND tenant = %(tenant)s
ORDER BY number FOR UPDATE

-- name: lock_unfinished
-- The threads must be locked. Then only a claim can change these states.
SELECT {locked_columns} FROM messages WHERE number = ANY (ARRAY(
    SELECT open.number FROM unnest(%(tenants)s::text[], %(threads)s::text[]) AS thread (tenant, thread_id)
    CROSS JOIN LATERAL (
        SELECT number FROM messages
        WHERE tenant = thread.tenant AND thread_id = thread.thread_id AND state = 'processing'
        UNION ALL
        SELECT number FROM messages
        WHERE tenant = thread.tenant AND thread_id = thread.thread_id AND state = 'interrupted'
        UNION ALL
        SELECT number FROM messages
        WHERE tenant = thread.tenant AND thread_id = thread.thread_id AND state = 'queued'
    ) AS open
)) AND completed_at IS NULL
ORDER BY number FOR NO KEY UPDATE

-- name: find_ended
-- Recognizes a repeated finish by its fence: only another attempt, a rescue or a release raises it.
SELECT messages.id, messages.fence FROM unnest(%(ids)s::text[], %(fences)s::bigint[]) AS lease (id, fence)
JOIN messages ON messages.id = lease.id AND messages.fence = lease.fence AND messages.completed_at IS NOT NULL

-- name: find_logs
-- The last event of each message, and the first event of its present attempt. The messages must be locked.
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
-- `raise_fence`: the message ends without its lease. Otherwise the fence stays, so that a repeated finish is recognized.
UPDATE messages SET
    state = given.state, readiness = NULL, rank = NULL, result = given.result, output = given.output,
    error = given.error, error_code = given.error_code, fingerprint = given.fingerprint, interrupt = NULL,
    interrupt_expires_at = NULL, resume_value = NULL, cancel_requested = FALSE,
    fence = CASE WHEN %(raise_fence)s THEN {next_fence} ELSE fence END,
    crashes = crashes + %(crashed)s, worker_id = NULL, lease_until = NULL, changed_at = %(now)s, completed_at = %(now)s
FROM unnest(
    %(numbers)s::bigint[], %(states)s::text[], %(results)s::text[], %(errors)s::text[], %(error_codes)s::text[],
    %(fingerprints)s::text[], %(outputs)s::text[]
) AS given (number, state, result, error, error_code, fingerprint, output)
WHERE messages.number = given.number

-- name: note_attempts
-- Runs before the change of state, which deletes the worker and the start of the attempt.
INSERT INTO attempts (message, fence, attempt, worker_id, started_at, ended_at, error, error_code, details)
SELECT messages.number, messages.fence, messages.attempt, coalesce(messages.worker_id, ''), messages.changed_at,
    %(now)s, given.error, given.error_code, given.details
FROM unnest(%(numbers)s::bigint[], %(errors)s::text[], %(error_codes)s::text[], %(details)s::text[])
    AS given (number, error, error_code, details)
JOIN messages ON messages.number = given.number

-- name: interrupt_messages
UPDATE messages SET
    state = 'interrupted', rank = NULL, interrupt = given.interrupt, interrupt_expires_at = given.expires_at,
    resume_value = NULL, fence = {next_fence}, worker_id = NULL, lease_until = NULL,
    changed_at = %(now)s
FROM unnest(%(numbers)s::bigint[], %(interrupts)s::text[], %(expire_at)s::bigint[])
    AS given (number, interrupt, expires_at)
WHERE messages.number = given.number

-- name: resume_message
-- The attempt that asked is not counted: the attempt with the answer gets the same number.
UPDATE messages SET
    state = 'queued', readiness = 'ready', run_at = 0, rank = {rank_of_head}, resume_value = %(value)s,
    attempt = greatest(attempt - 1, 0), interrupt_expires_at = NULL, changed_at = %(now)s
WHERE number = %(number)s

-- name: find_unanswered
SELECT id FROM messages WHERE state = 'interrupted' AND interrupt_expires_at <= %(now)s
ORDER BY interrupt_expires_at, number LIMIT %(limit)s

-- name: lock_unanswered
SELECT {locked_columns} FROM (
    SELECT * FROM messages WHERE id = ANY (%(ids)s::text[]) ORDER BY number OFFSET 0 FOR NO KEY UPDATE
) AS messages WHERE state = 'interrupted' AND interrupt_expires_at <= %(now)s

-- name: request_cancels
UPDATE messages SET cancel_requested = TRUE WHERE number = ANY (%(numbers)s::bigint[])

-- name: reprioritize
-- In a thread, `settle_thread` sets the rank.
UPDATE messages SET
    priority = %(priority)s, base_rank = %(rank)s,
    rank = CASE WHEN thread_id IS NULL AND rank IS NOT NULL THEN %(rank)s ELSE rank END, readiness = {ready_again}
WHERE number = %(number)s

-- name: place_in_flow
SELECT base_rank, flow FROM messages WHERE number = %(number)s

-- name: rank_of_next
-- The first rank among the messages of a flow that were accepted after message `number` and wait; NULL if there is none.
-- Messages with ranks below the highest claimed one have had their turn. `first` is the first rank of the level.
SELECT base_rank FROM messages
WHERE tenant = %(tenant)s AND flow = %(flow)s AND base_rank >= greatest(%(first)s::bigint, (
        SELECT rank FROM claimed_ranks WHERE level = %(first)s::bigint / 1000000000000000
    )) AND base_rank < %(first)s::bigint + 1000000000000000 AND number > %(number)s AND state = 'queued'
ORDER BY base_rank, number LIMIT 1

-- name: next_numbers
SELECT nextval('agent_queue.messages_number_seq') FROM generate_series(1, %(count)s)

-- name: requeue_messages
-- Sets the messages as if they were accepted now.
UPDATE messages SET
    number = given.new_number, thread_number = given.thread_number, state = 'queued', readiness = given.readiness, run_at = 0,
    base_rank = given.base_rank, flow = given.flow, rank = given.rank, attempt = 0, crashes = 0, fence = {next_fence},
    accepted_at = %(now)s, changed_at = %(now)s, started_at = NULL, completed_at = NULL, error = NULL, error_code = NULL, fingerprint = NULL,
    log_pruned = FALSE, agent_version = ''
FROM unnest(
    %(numbers)s::bigint[], %(new_numbers)s::bigint[], %(thread_numbers)s::bigint[], %(places)s::text[],
    %(base_ranks)s::bigint[], %(flows)s::text[], %(ranks)s::bigint[]
) AS given (number, new_number, thread_number, readiness, base_rank, flow, rank)
WHERE messages.number = given.number
RETURNING messages.id, messages.fence

-- name: drop_logs
INSERT INTO dropped_logs (message) SELECT unnest(%(numbers)s::bigint[])

-- name: delete_dropped_events
-- Skips logs that another process is deleting.
WITH log AS MATERIALIZED (
    SELECT message FROM dropped_logs ORDER BY message FOR UPDATE SKIP LOCKED LIMIT %(limit)s
), part AS MATERIALIZED (
    SELECT event.message, event.id FROM log
    CROSS JOIN LATERAL (SELECT message, id FROM events WHERE events.message = log.message) AS event
    LIMIT %(limit)s
), deleted AS (
    DELETE FROM events USING part WHERE events.message = part.message AND events.id = part.id RETURNING 1
)
SELECT count(*) FROM deleted

-- name: forget_dropped_logs
DELETE FROM dropped_logs WHERE NOT EXISTS (SELECT 1 FROM events WHERE events.message = dropped_logs.message)

-- name: renumber_attempts
UPDATE attempts SET message = given.new_number
FROM unnest(%(numbers)s::bigint[], %(new_numbers)s::bigint[]) AS given (number, new_number)
WHERE attempts.message = given.number

-- name: record_changes
-- Changes of messages that leave their states.
INSERT INTO transitions (at, tenant, type, message_id, thread_id, agent, priority, before)
SELECT %(now)s, tenant, %(type)s, id, thread_id, agent, priority, state FROM messages
WHERE number = ANY (%(numbers)s::bigint[]) ORDER BY number

-- name: delete_messages
WITH deleted AS (
    DELETE FROM messages WHERE number = ANY (%(numbers)s::bigint[]) RETURNING tenant, thread_id, id
)
INSERT INTO dropped_memories SELECT tenant, '', id FROM deleted WHERE thread_id IS NULL ON CONFLICT DO NOTHING

-- name: put_back_messages
-- Puts messages back as heads of their threads, with the ranks of heads.
UPDATE messages SET
    state = 'queued', readiness = CASE WHEN given.run_at <= %(now)s THEN 'ready' ELSE 'delayed' END,
    run_at = CASE WHEN given.run_at <= %(now)s THEN 0 ELSE given.run_at END,
    rank = CASE WHEN given.run_at <= %(now)s THEN {rank_of_head} END,
    attempt = attempt - given.refunded, crashes = crashes + %(crashed)s, fence = {next_fence}, worker_id = NULL,
    lease_until = NULL, changed_at = %(now)s
FROM unnest(%(numbers)s::bigint[], %(run_ats)s::bigint[], %(refunds)s::bigint[]) AS given (number, run_at, refunded)
WHERE messages.number = given.number

-- name: find_expired
-- A row without a lease counts as expired, whatever its origin.
SELECT id FROM messages WHERE state = 'processing' AND coalesce(lease_until, 0) <= %(now)s
ORDER BY coalesce(lease_until, 0), number LIMIT %(limit)s

-- name: lock_expired
-- Skips messages that a worker is finishing. OFFSET keeps the planner from walking all expired leases.
SELECT {locked_columns} FROM (
    SELECT * FROM messages WHERE id = ANY (%(ids)s::text[]) ORDER BY number OFFSET 0 FOR UPDATE SKIP LOCKED
) AS messages WHERE state = 'processing' AND coalesce(lease_until, 0) <= %(now)s

-- name: leased
FROM moment CROSS JOIN unnest(%(ids)s::text[], %(fences)s::bigint[]) AS lease (id, fence)
JOIN messages ON messages.id = lease.id AND messages.fence = lease.fence AND messages.state = 'processing'
    AND messages.worker_id = %(id)s AND messages.lease_until > moment.now

-- name: beat
-- An expired lease is not revived: the rescue takes it. A heartbeat waits for no lock. A locked row is being cancelled or
-- ended, which may take seconds for a long answer. The lease still counts as held, since no rescue takes a locked row. If the
-- message does not end, the next heartbeat extends the lease. A worker that was not asked to drain stays active, whatever it
-- says. The row without an id tells whether it has to drain.
WITH moment AS MATERIALIZED (SELECT %(now)s::bigint AS now),
shown AS (
    INSERT INTO workers (id, host, pid, slots, agents, load, started_at, last_beat, clock_ahead_ms, state)
    SELECT %(id)s, %(host)s, %(pid)s, %(slots)s, %(agents)s, %(load)s, now, now, %(clock_ahead_ms)s, %(state)s FROM moment
    ON CONFLICT (id) DO UPDATE SET
        slots = excluded.slots, agents = excluded.agents, load = excluded.load, last_beat = excluded.last_beat,
        clock_ahead_ms = excluded.clock_ahead_ms,
        state = CASE WHEN workers.state = 'draining' AND excluded.state = 'drained' THEN 'drained' ELSE workers.state END
    RETURNING state
), held AS MATERIALIZED (
    SELECT messages.number, moment.now {leased}
    ORDER BY messages.number FOR NO KEY UPDATE OF messages SKIP LOCKED
), extended AS (
    UPDATE messages SET lease_until = held.now + %(lease_milliseconds)s
    FROM held WHERE messages.number = held.number
    RETURNING messages.id, messages.fence, messages.cancel_requested
)
SELECT NULL::text, NULL::bigint, state <> 'active' FROM shown
UNION ALL
SELECT id, fence, cancel_requested FROM extended
UNION ALL
SELECT messages.id, messages.fence, messages.cancel_requested {leased}
WHERE NOT EXISTS (SELECT FROM held WHERE held.number = messages.number)

-- name: lock_worker
SELECT state FROM workers WHERE id = %(id)s FOR UPDATE

-- name: drain_worker
UPDATE workers SET state = %(state)s WHERE id = %(id)s

-- name: record_draining
INSERT INTO transitions (at, tenant, type, message_id, agent, priority, worker_id)
VALUES (%(now)s, '', %(type)s, '', '', '', %(id)s)

-- name: remove_worker
WITH removed AS (DELETE FROM workers WHERE id = %(id)s RETURNING id)
INSERT INTO transitions (at, tenant, type, message_id, agent, priority, worker_id)
SELECT %(now)s, '', 'worker.left', '', '', '', id FROM removed

-- name: prune_workers
WITH lost AS (DELETE FROM workers WHERE last_beat < %(before)s RETURNING id)
INSERT INTO transitions (at, tenant, type, message_id, agent, priority, worker_id)
SELECT %(now)s, '', 'worker.lost', '', '', '', id FROM lost RETURNING worker_id

-- name: describe_agents
-- The names must be sorted.
INSERT INTO agents (name, description, described_at)
SELECT name, description, %(now)s
FROM unnest(%(names)s::text[], %(descriptions)s::text[]) AS given (name, description)
ON CONFLICT (name) DO UPDATE SET description = excluded.description, described_at = excluded.described_at

-- name: prune_agents
WITH removed AS (DELETE FROM agents WHERE described_at < %(before)s RETURNING name)
INSERT INTO transitions (at, tenant, type, message_id, agent, priority)
SELECT %(now)s, '', 'agent.removed', '', name, '' FROM removed RETURNING agent

-- name: list_agents
SELECT description FROM agents ORDER BY name

-- name: see_versions
-- The versions must be sorted.
INSERT INTO agent_versions AS known (agent, version, first_seen, last_seen)
SELECT * FROM unnest(%(agents)s::text[], %(versions)s::text[], %(first)s::bigint[], %(last)s::bigint[])
ON CONFLICT (agent, version) DO UPDATE SET
    first_seen = least(known.first_seen, excluded.first_seen), last_seen = excluded.last_seen
WHERE known.last_seen < excluded.last_seen

-- name: forget_versions
DELETE FROM agent_versions WHERE last_seen < %(before)s

-- name: list_versions
SELECT agent, version, first_seen, last_seen FROM agent_versions

-- name: list_waiting_versions
-- Seeks each agent and version in the index of ready messages. It has one entry for each message.
WITH RECURSIVE agents (agent) AS (
    SELECT min(agent) FROM messages WHERE readiness = 'ready'
    UNION ALL
    SELECT (SELECT min(messages.agent) FROM messages WHERE readiness = 'ready' AND messages.agent > agents.agent)
    FROM agents WHERE agent IS NOT NULL
), versions (agent, version) AS (
    SELECT agent, (
        SELECT min(agent_version) FROM messages
        WHERE readiness = 'ready' AND messages.agent = agents.agent AND agent_version > ''
    )
    FROM agents WHERE agent IS NOT NULL
    UNION ALL
    SELECT agent, (
        SELECT min(agent_version) FROM messages
        WHERE readiness = 'ready' AND messages.agent = versions.agent AND agent_version > versions.version
    )
    FROM versions WHERE version IS NOT NULL
)
SELECT agent, version FROM versions WHERE version IS NOT NULL

-- name: move_version
-- Skips messages that a worker is claiming or a request is cancelling. Claims take no lock of threads either.
WITH picked AS MATERIALIZED (
    SELECT number FROM messages WHERE readiness = 'ready' AND agent = %(agent)s AND agent_version = %(before)s
    ORDER BY rank, number LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE messages SET agent_version = %(after)s FROM picked WHERE messages.number = picked.number
RETURNING messages.number, messages.id

-- name: list_workers
SELECT id, host, pid, slots, started_at, last_beat, clock_ahead_ms, state, agents, load FROM workers ORDER BY started_at, id

-- name: lock_folding
SELECT pg_try_advisory_xact_lock(hashtextextended('agent_queue.fold', 0))

-- name: backend_ended
backend <> 0 AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = backend)

-- name: fold_tallies
WITH gone AS (DELETE FROM tallies WHERE {backend_ended} RETURNING tenant, state, priority, messages)
INSERT INTO tallies AS tally (backend, tenant, state, priority, messages)
SELECT 0, tenant, state, priority, sum(messages) FROM gone GROUP BY tenant, state, priority
ON CONFLICT (backend, tenant, state, priority) DO UPDATE SET messages = tally.messages + excluded.messages

-- name: fold_levels
WITH gone AS (DELETE FROM levels WHERE {backend_ended} RETURNING level, waiting)
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

-- name: add_next_events
-- Appends to each log. The messages must be locked.
INSERT INTO events (message, id, type, data, created_at)
SELECT message, coalesce((SELECT max(id) FROM events WHERE events.message = given.message), 0) + 1, type, data, %(now)s
FROM unnest(%(messages)s::bigint[], %(types)s::text[], %(data)s::text[]) AS given (message, type, data)

-- name: share_leased
-- FOR KEY SHARE waits for a running rescue or finish, which lock FOR UPDATE, and then checks the row again. It does not
-- block a heartbeat while megabytes are written. A condition in the INSERT alone would not check again. A worker that lost
-- its lease could then write.
SELECT messages.number, messages.id, messages.fence
FROM unnest(%(ids)s::text[], %(fences)s::bigint[]) AS lease (id, fence)
JOIN messages ON messages.id = lease.id AND messages.fence = lease.fence AND messages.state = 'processing'
ORDER BY messages.number FOR KEY SHARE OF messages

-- name: find_log
SELECT number, state FROM messages WHERE id = %(id)s AND tenant = %(tenant)s

-- name: number_of
SELECT number FROM messages WHERE id = %(id)s

-- name: log_bounds
SELECT
    coalesce((SELECT min(id) FROM events WHERE message = ({number_of})), 0),
    coalesce((SELECT max(id) FROM events WHERE message = ({number_of})), 0)

-- name: read_events
-- 262144 is PAGE_LOG_LENGTH; the data is ASCII.
SELECT id, type, data, created_at FROM (
    SELECT id, type, data, created_at,
        sum(octet_length(data)) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) - octet_length(data) AS before
    FROM events WHERE message = ({number_of}) AND id > %(after)s ORDER BY id LIMIT %(limit)s
) AS page WHERE before < 262144 ORDER BY id

-- name: owners_of_ended
SELECT DISTINCT tenant AS owner FROM tallies WHERE state IN ('completed', 'failed', 'cancelled')

-- name: days_kept
coalesce(
    (SELECT (retention_days * 86400000)::bigint FROM tenants WHERE tenants.tenant = owner), %(age)s::bigint
)

-- name: find_prunable_logs
SELECT old.* FROM ({owners_of_ended}) AS owners CROSS JOIN LATERAL (
    SELECT number, id, tenant, thread_id FROM messages
    WHERE tenant = owner AND completed_at IS NOT NULL AND NOT log_pruned AND completed_at < %(now)s::bigint - coalesce(
        (SELECT (event_retention_hours * 3600000)::bigint FROM tenants WHERE tenants.tenant = owner), %(age)s::bigint
    )
    ORDER BY completed_at, number LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
) AS old LIMIT %(limit)s

-- name: prune_logs
-- Keeps the terminal event, so that a late reader learns how the message ended.
DELETE FROM events USING unnest(%(numbers)s::bigint[]) AS ended (number)
WHERE message = ended.number AND id < (SELECT max(id) FROM events AS later WHERE later.message = ended.number)

-- name: mark_pruned
WITH pruned AS (
    UPDATE messages SET log_pruned = TRUE WHERE number = ANY (%(numbers)s::bigint[]) RETURNING tenant, thread_id, id
)
INSERT INTO dropped_memories SELECT tenant, '', id FROM pruned WHERE thread_id IS NULL ON CONFLICT DO NOTHING

-- name: find_prunable_messages
SELECT old.id FROM ({owners_of_ended}) AS owners CROSS JOIN (VALUES (TRUE), (FALSE)) AS log (pruned) CROSS JOIN LATERAL (
    SELECT id FROM messages
    WHERE tenant = owner AND log_pruned = log.pruned AND completed_at IS NOT NULL
        AND completed_at < %(now)s::bigint - {days_kept}
    ORDER BY completed_at, number LIMIT %(limit)s
) AS old LIMIT %(limit)s

-- name: prune_messages
WITH deleted AS (
    DELETE FROM messages WHERE number IN (
        SELECT number FROM messages WHERE id = ANY (%(ids)s::text[]) ORDER BY number FOR UPDATE SKIP LOCKED
    )
    RETURNING id, tenant, thread_id, log_pruned
), dropped AS (
    INSERT INTO dropped_memories
    SELECT tenant, '', id FROM deleted WHERE thread_id IS NULL AND NOT log_pruned ON CONFLICT DO NOTHING
)
SELECT id, tenant, thread_id, log_pruned FROM deleted

-- name: prune_threads
WITH RECURSIVE owners (owner) AS (
    SELECT (SELECT min(tenant) FROM threads WHERE unfinished + completed + failed + cancelled = 0)
    UNION ALL
    SELECT (SELECT min(tenant) FROM threads WHERE unfinished + completed + failed + cancelled = 0 AND tenant > owner)
    FROM owners WHERE owner IS NOT NULL
), old AS MATERIALIZED (
    SELECT empty.* FROM owners CROSS JOIN LATERAL (
        SELECT tenant, thread_id FROM threads
        WHERE tenant = owner AND last_activity < %(now)s::bigint - {days_kept}
            AND unfinished + completed + failed + cancelled = 0 AND hidden IS NULL
        ORDER BY last_activity LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ) AS empty LIMIT %(limit)s
), deleted AS (
    DELETE FROM threads USING old WHERE threads.tenant = old.tenant AND threads.thread_id = old.thread_id
    RETURNING threads.tenant, threads.thread_id
), dropped AS (
    INSERT INTO dropped_memories SELECT tenant, thread_id, '' FROM deleted ON CONFLICT DO NOTHING
)
SELECT tenant, thread_id FROM deleted

-- name: list_dropped_memories
-- `NOT EXISTS` would let the planner read all messages and threads into a hash table.
SELECT tenant, thread_id, message_id FROM dropped_memories AS dropped
WHERE CASE thread_id
    WHEN '' THEN (SELECT 1 FROM messages WHERE messages.id = dropped.message_id AND NOT log_pruned) IS NULL
    ELSE (
        SELECT 1 FROM threads
        WHERE threads.tenant = dropped.tenant AND threads.thread_id = dropped.thread_id
            AND hidden IS DISTINCT FROM 'deleted'
    ) IS NULL
END
ORDER BY tenant, thread_id, message_id LIMIT %(limit)s

-- name: free_threads
WITH freed AS MATERIALIZED (
    SELECT tenant, thread_id FROM unnest(%(tenants)s::text[], %(threads)s::text[]) AS settled (tenant, thread_id)
    JOIN threads USING (tenant, thread_id)
    WHERE hidden = 'deleted' ORDER BY tenant, thread_id FOR UPDATE OF threads
)
DELETE FROM threads USING freed WHERE threads.tenant = freed.tenant AND threads.thread_id = freed.thread_id

-- name: settle_dropped_memories
DELETE FROM dropped_memories USING unnest(%(tenants)s::text[], %(threads)s::text[], %(ids)s::text[])
    AS settled (tenant, thread_id, message_id)
WHERE dropped_memories.tenant = settled.tenant AND dropped_memories.thread_id = settled.thread_id
    AND dropped_memories.message_id = settled.message_id

-- name: delivery_columns
{delivery_record_columns}, data

-- name: add_deliveries
INSERT INTO deliveries (id, tenant, message_id, thread_id, url, event, receiver, data, state, created_at, next_at)
SELECT id, tenant, message_id, thread_id, url, event, receiver, data, 'pending', %(now)s, %(now)s
FROM unnest(
    %(ids)s::text[], %(tenants)s::text[], %(message_ids)s::text[], %(threads)s::text[], %(urls)s::text[],
    %(events)s::text[], %(receivers)s::text[], %(data)s::text[]
) AS given (id, tenant, message_id, thread_id, url, event, receiver, data)

-- name: claim_deliveries
WITH due AS MATERIALIZED (
    SELECT id, next_at FROM deliveries WHERE state = 'pending' AND next_at <= %(now)s
    ORDER BY next_at, id LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE deliveries SET tries = tries + 1, next_at = %(until)s
FROM due WHERE deliveries.id = due.id
RETURNING {delivery_columns}, due.next_at

-- name: sender_details
-- The alias is that of the newest answer. Aliases of the submit begin at 0.
SELECT api_keys.webhook_secret, messages.trace, messages.options, (
    SELECT alias FROM aliases
    WHERE message_id = messages.id AND tenant = messages.tenant AND first_event > 0 ORDER BY first_event DESC LIMIT 1
), named.value::text
FROM messages
LEFT JOIN LATERAL jsonb_array_elements(messages.receivers::jsonb) AS named (value)
    ON named.value ->> 'key' = %(receiver)s::text
LEFT JOIN api_keys ON api_keys.id =
    CASE WHEN %(receiver)s::text IS NULL THEN messages.webhook_key ELSE named.value ->> 'signing_key' END
WHERE messages.id = %(message_id)s

-- name: lock_receivers
SELECT receivers FROM messages WHERE id = %(id)s AND tenant = %(tenant)s FOR NO KEY UPDATE

-- name: set_receivers
UPDATE messages SET receivers = %(receivers)s WHERE id = %(id)s

-- name: keep_trace
UPDATE messages SET trace = %(trace)s WHERE id = %(id)s AND fence = %(fence)s

-- name: settle_delivery
UPDATE deliveries SET
    state = %(state)s, next_at = %(next_at)s,
    attempts = left(attempts, -1) || CASE attempts WHEN '[]' THEN '' ELSE ',' END || %(attempt)s || ']'
WHERE id = %(id)s AND tries = %(tries)s AND next_at = %(claimed_until)s AND state = 'pending'
RETURNING 1

-- name: list_deliveries
SELECT {delivery_columns} FROM deliveries WHERE message_id = %(message_id)s AND tenant = %(tenant)s
ORDER BY created_at, id

-- name: find_deliveries
-- Reads the newest of each state and event from its own range of the index. A filter then skips no rows.
SELECT {delivery_record_columns} FROM deliveries WHERE id = ANY (ARRAY(
    SELECT newest.id
    FROM json_array_elements_text(%(states)s::json) AS named_state (state)
    CROSS JOIN json_array_elements_text(%(events)s::json) AS named_event (event)
    CROSS JOIN LATERAL (
        SELECT created_at, id FROM deliveries
        WHERE tenant = %(tenant)s AND deliveries.state = named_state.state AND deliveries.event = named_event.event
            AND (created_at, id) < (%(created_at)s, %(id)s::text COLLATE "C")
        ORDER BY created_at DESC, id DESC LIMIT %(limit)s
    ) AS newest
    ORDER BY newest.created_at DESC, newest.id DESC LIMIT %(limit)s
))
ORDER BY created_at DESC, id DESC

-- name: find_deliveries_of_message
SELECT {delivery_record_columns} FROM deliveries
WHERE message_id = %(message_id)s AND tenant = %(tenant)s
    AND (created_at, id) < (%(created_at)s, %(id)s::text COLLATE "C")
    AND state = ANY (ARRAY(SELECT json_array_elements_text(%(states)s::json)))
    AND event = ANY (ARRAY(SELECT json_array_elements_text(%(events)s::json)))
ORDER BY created_at DESC, id DESC LIMIT %(limit)s

-- name: replay_delivery
UPDATE deliveries SET state = 'pending', tries = 0, next_at = %(now)s WHERE id = %(id)s AND tenant = %(tenant)s
RETURNING {delivery_columns}

-- name: notify
SELECT pg_notify('agent_queue', %(payload)s)

-- name: listen
LISTEN agent_queue

-- name: share_fence
-- Waits for a running rescue or finish, as `share_leased` does.
SELECT fence FROM messages WHERE id = %(id)s AND state NOT IN ('failed', 'cancelled') FOR KEY SHARE

-- name: lives
(items.expires_at IS NULL OR items.expires_at > %(now)s)

-- name: get_item
SELECT namespace, key, value, created_at, updated_at, ttl_ms FROM items
WHERE tenant = %(tenant)s AND namespace = %(namespace)s AND key = %(key)s AND {lives}

-- name: named_items
unnest(%(namespaces)s::text[], %(keys)s::text[]) AS named (namespace, key)

-- name: put_items
-- The items must be sorted.
INSERT INTO items (tenant, namespace, key, created_at, updated_at, expires_at, ttl_ms, value)
SELECT %(tenant)s, namespace, key, %(now)s, %(now)s, expires_at, ttl_ms, value
FROM unnest(
    %(namespaces)s::text[], %(keys)s::text[], %(values)s::text[], %(ttls)s::bigint[], %(expiries)s::bigint[]
) AS given (namespace, key, value, ttl_ms, expires_at)
ON CONFLICT (tenant, namespace, key) DO UPDATE SET
    created_at = CASE WHEN {lives} THEN items.created_at ELSE excluded.created_at END,
    updated_at = excluded.updated_at, expires_at = excluded.expires_at, ttl_ms = excluded.ttl_ms, value = excluded.value

-- name: delete_items
WITH locked AS MATERIALIZED (
    SELECT items.namespace, items.key FROM {named_items} JOIN items USING (namespace, key)
    WHERE items.tenant = %(tenant)s
    ORDER BY items.namespace, items.key FOR UPDATE OF items
)
DELETE FROM items USING locked
WHERE items.tenant = %(tenant)s AND items.namespace = locked.namespace AND items.key = locked.key

-- name: refresh_items
WITH locked AS MATERIALIZED (
    SELECT items.namespace, items.key FROM {named_items} JOIN items USING (namespace, key)
    WHERE items.tenant = %(tenant)s AND ttl_ms IS NOT NULL AND {lives}
    ORDER BY items.namespace, items.key FOR NO KEY UPDATE OF items
)
UPDATE items SET expires_at = %(now)s + ttl_ms FROM locked
WHERE items.tenant = %(tenant)s AND items.namespace = locked.namespace AND items.key = locked.key

-- name: prune_items
WITH expired AS MATERIALIZED (
    SELECT tenant, namespace, key FROM items WHERE expires_at <= %(now)s
    ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
DELETE FROM items USING expired
WHERE items.tenant = expired.tenant AND items.namespace = expired.namespace AND items.key = expired.key
RETURNING 1

-- name: search_items
SELECT namespace, key, octet_length(value) FROM items
WHERE tenant = %(tenant)s AND namespace >= %(begin)s AND namespace < %(end)s AND {lives}
ORDER BY updated_at DESC, namespace, key LIMIT %(limit)s OFFSET %(offset)s

-- name: search_filtered_items
SELECT namespace, key, octet_length(value) FROM items
CROSS JOIN LATERAL (SELECT value::jsonb AS document OFFSET 0) AS parsed
WHERE tenant = %(tenant)s AND namespace >= %(begin)s AND namespace < %(end)s AND {lives} AND {meets_filter}
ORDER BY updated_at DESC, namespace, key LIMIT %(limit)s OFFSET %(offset)s

-- name: meets_filter
-- No group may differ from what it wants. `filter` is made by `app.store.sql.items`, its terms are those of `Condition`.
NOT EXISTS (
    SELECT 1 FROM json_to_recordset(%(filter)s::json) AS part (negated boolean, conditions json)
    WHERE part.negated = NOT EXISTS (
        SELECT 1
        FROM json_to_recordset(part.conditions)
            AS wanted (path text[], kind text, operator text, number double precision, text text)
        CROSS JOIN LATERAL (SELECT document #> wanted.path AS found) AS named
        WHERE NOT coalesce({condition_holds}, FALSE)
    )
)

-- name: condition_holds
CASE wanted.kind
    WHEN 'absent' THEN coalesce(jsonb_typeof(found), 'null') = 'null'
    WHEN 'true' THEN found = 'true'::jsonb
    WHEN 'false' THEN found = 'false'::jsonb
    WHEN 'object_of' THEN CASE jsonb_typeof(found)
        WHEN 'object' THEN (SELECT count(*) FROM jsonb_object_keys(found)) = wanted.number END
    WHEN 'list_of' THEN CASE jsonb_typeof(found) WHEN 'array' THEN jsonb_array_length(found) = wanted.number END
    WHEN 'number' THEN CASE WHEN jsonb_typeof(found) = 'number' THEN CASE wanted.operator
        WHEN '=' THEN {found_number} = wanted.number
        WHEN '<' THEN {found_number} < wanted.number
        WHEN '<=' THEN {found_number} <= wanted.number
        WHEN '>' THEN {found_number} > wanted.number
        ELSE {found_number} >= wanted.number
    END END
    WHEN 'text' THEN CASE WHEN jsonb_typeof(found) = 'string' THEN CASE wanted.operator
        WHEN '=' THEN {found_text} = wanted.text
        WHEN '<' THEN {found_text} < wanted.text
        WHEN '<=' THEN {found_text} <= wanted.text
        WHEN '>' THEN {found_text} > wanted.text
        ELSE {found_text} >= wanted.text
    END END
    ELSE jsonb_typeof(found) = wanted.kind
END

-- name: found_number
(found #>> '{}')::double precision

-- name: found_text
(found #>> '{}') COLLATE "C"

-- name: list_namespaces
-- Each step finds the next namespace by the primary key, however many items are in between.
WITH RECURSIVE found (namespace) AS (
    SELECT min(namespace) FROM items
    WHERE tenant = %(tenant)s AND namespace >= %(begin)s AND namespace < %(end)s AND {lives}
    UNION ALL
    SELECT (
        SELECT min(items.namespace) FROM items
        WHERE tenant = %(tenant)s AND items.namespace > found.namespace AND items.namespace < %(end)s AND {lives}
    ) FROM found WHERE found.namespace IS NOT NULL
)
SELECT namespace FROM found WHERE namespace IS NOT NULL LIMIT %(limit)s

-- name: add_key
INSERT INTO api_keys (
    id, tenant, name, scopes, created_at, expires_at, secret_hash, webhook_url, signs_webhooks, webhook_secret,
    limits, quotas
) VALUES (
    %(id)s, %(tenant)s, %(name)s, %(scopes)s, %(now)s, %(expires_at)s, %(secret_hash)s, %(webhook_url)s,
    %(webhook_secret)s::text IS NOT NULL, %(webhook_secret)s, %(limits)s, %(quotas)s
) RETURNING {key_columns}

-- name: get_key
SELECT {key_columns} FROM api_keys WHERE id = %(id)s AND {of_tenant}

-- name: of_tenant
(CAST(%(tenant)s AS TEXT) IS NULL OR tenant = %(tenant)s)

-- name: list_keys
SELECT {key_columns} FROM api_keys WHERE id > %(after)s AND {of_tenant} ORDER BY id LIMIT %(limit)s

-- name: rotate_key
UPDATE api_keys SET previous_hash = secret_hash, previous_until = %(previous_until)s, secret_hash = %(secret_hash)s
WHERE id = %(id)s AND {of_tenant} AND revoked_at IS NULL RETURNING {key_columns}

-- name: change_key
UPDATE api_keys SET limits = %(limits)s, quotas = %(quotas)s
WHERE id = %(id)s AND {of_tenant} AND revoked_at IS NULL AND limits = %(expected_limits)s AND quotas = %(expected_quotas)s
RETURNING {key_columns}

-- name: revoke_key
UPDATE api_keys SET revoked_at = %(now)s
WHERE id = %(id)s AND {of_tenant} AND revoked_at IS NULL RETURNING {key_columns}

-- name: use_keys
-- The ids must be sorted.
UPDATE api_keys SET last_used_at = greatest(last_used_at, used.used_at)
FROM unnest(%(ids)s::text[], %(times)s::bigint[]) AS used (id, used_at) WHERE api_keys.id = used.id

-- name: raise_revision
UPDATE access SET revision = revision + 1

-- name: access_state
SELECT revision, EXISTS (SELECT 1 FROM api_keys WHERE revoked_at IS NULL) FROM access

-- name: get_tenant
SELECT {tenant_columns} FROM tenants WHERE tenant = %(tenant)s

-- name: list_tenants
SELECT {tenant_columns} FROM tenants WHERE tenant > %(after)s ORDER BY tenant LIMIT %(limit)s

-- name: add_tenant
INSERT INTO tenants (
    tenant, weight, limits, quotas, subject_quotas, retention_days, event_retention_hours, revision, created_at, changed_at
)
SELECT
    %(tenant)s, %(weight)s, %(limits)s, %(quotas)s, %(subject_quotas)s, %(retention_days)s, %(event_retention_hours)s,
    revision + 1, %(now)s, %(now)s
FROM access WHERE TRUE
ON CONFLICT (tenant) DO NOTHING RETURNING {tenant_columns}

-- name: change_tenant
UPDATE tenants SET
    weight = %(weight)s, limits = %(limits)s, quotas = %(quotas)s, subject_quotas = %(subject_quotas)s,
    retention_days = %(retention_days)s, event_retention_hours = %(event_retention_hours)s,
    revision = (SELECT access.revision + 1 FROM access), changed_at = %(now)s
WHERE tenant = %(tenant)s AND revision = %(revision)s RETURNING {tenant_columns}

-- name: delete_tenant
DELETE FROM tenants WHERE tenant = %(tenant)s RETURNING 1

-- name: add_signing_secret
INSERT INTO signing_secrets (id, secret, created_at)
SELECT %(id)s, %(secret)s, %(now)s WHERE NOT EXISTS (
    SELECT 1 FROM signing_secrets WHERE created_at >= %(older_than)s
)
RETURNING 1

-- name: list_signing_secrets
SELECT id, secret, created_at FROM signing_secrets ORDER BY created_at DESC, id LIMIT 2

-- name: drop_signing_secrets
DELETE FROM signing_secrets WHERE id NOT IN (
    SELECT id FROM signing_secrets ORDER BY created_at DESC, id LIMIT 2
)

-- name: end_tokens
INSERT INTO ended_tokens (tenant, subject, revision, ended_at)
SELECT %(tenant)s, %(subject)s, revision, %(now)s FROM access WHERE TRUE
ON CONFLICT (tenant, subject) DO UPDATE SET revision = excluded.revision, ended_at = excluded.ended_at
RETURNING revision

-- name: forget_ends
DELETE FROM ended_tokens WHERE ended_at < %(before)s

-- name: tokens_ended
SELECT coalesce(max(revision), 0)::bigint FROM ended_tokens
WHERE tenant = %(tenant)s AND subject IN ('', %(subject)s)

-- name: use_ticket
INSERT INTO used_tickets (id, used_at) VALUES (%(id)s, %(now)s) ON CONFLICT DO NOTHING RETURNING 1

-- name: forget_tickets
DELETE FROM used_tickets WHERE id IN (
    SELECT id FROM used_tickets WHERE used_at < %(before)s ORDER BY id FOR UPDATE SKIP LOCKED
)

-- name: lock_access
-- One change of signing secrets or ends at a time.
SELECT 1 FROM access FOR UPDATE

-- name: add_audit
-- The last lock of a transaction.
WITH head AS (UPDATE audit_head SET last_number = last_number + 1 RETURNING last_number)
INSERT INTO audit (number, at, actor, key_id, address, action, tenant, targets, details)
SELECT last_number, %(now)s, %(actor)s, %(key_id)s, %(address)s, %(action)s, %(tenant)s, %(targets)s, %(details)s FROM head

-- name: audit_chosen
(CAST(%(tenant)s AS TEXT) IS NULL OR tenant = %(tenant)s)
AND (CAST(%(actor)s AS TEXT) IS NULL OR actor = %(actor)s)
AND (CAST(%(action)s AS TEXT) IS NULL OR action = %(action)s)
AND (CAST(%(target)s AS TEXT) IS NULL OR CAST(targets AS JSONB) @> to_jsonb(CAST(%(target)s AS TEXT)))
AND (CAST(%(since)s AS BIGINT) IS NULL OR at >= %(since)s)
AND (CAST(%(until)s AS BIGINT) IS NULL OR at < %(until)s)

-- name: list_audit_newest
SELECT {audit_columns} FROM audit WHERE number < %(after)s AND {audit_chosen} ORDER BY number DESC LIMIT %(limit)s

-- name: list_audit_oldest
SELECT {audit_columns} FROM audit WHERE number > %(after)s AND {audit_chosen} ORDER BY number LIMIT %(limit)s

-- name: given_usage
unnest(
    %(message_ids)s::text[], %(models)s::text[], %(calls)s::bigint[], %(input_tokens)s::bigint[],
    %(output_tokens)s::bigint[], %(cached_tokens)s::bigint[], %(reasoning_tokens)s::bigint[], %(cost_nanos)s::bigint[],
    %(unpriced_calls)s::bigint[]
) AS given (message_id, model, {token_columns})

-- name: added_tokens
calls = known.calls + excluded.calls,
input_tokens = known.input_tokens + excluded.input_tokens,
output_tokens = known.output_tokens + excluded.output_tokens,
cached_tokens = known.cached_tokens + excluded.cached_tokens,
reasoning_tokens = known.reasoning_tokens + excluded.reasoning_tokens,
cost_nanos = known.cost_nanos + excluded.cost_nanos,
unpriced_calls = known.unpriced_calls + excluded.unpriced_calls

-- name: add_message_usage
-- A message and a model must be given once. Only the attempt that holds a message adds to its rows.
INSERT INTO message_usage AS known (message_id, model, {token_columns})
SELECT message_id, model, {token_columns} FROM {given_usage}
ON CONFLICT (message_id, model) DO UPDATE SET
    {added_tokens}

-- name: add_hourly_usage
INSERT INTO hourly_usage AS known (tenant, hour, key, subject, agent, model, backend, {token_columns})
SELECT messages.tenant, %(hour)s::bigint, coalesce(messages.key_id, ''), coalesce(messages.subject, ''), messages.agent,
    given.model, pg_backend_pid(), {summed_tokens}
FROM {given_usage} JOIN messages ON messages.id = given.message_id
GROUP BY 1, 2, 3, 4, 5, 6
ON CONFLICT (tenant, hour, key, subject, agent, model, backend) DO UPDATE SET
    {added_tokens}

-- name: record_usage
INSERT INTO transitions (at, tenant, type, message_id, agent, priority, usage)
SELECT %(at)s::bigint, messages.tenant, 'usage', '', messages.agent, messages.priority, concat_ws(' ', {summed_tokens})
FROM {given_usage} JOIN messages ON messages.id = given.message_id
GROUP BY messages.tenant, messages.agent, messages.priority

-- name: summed_tokens
sum(calls)::bigint,
sum(input_tokens)::bigint,
sum(output_tokens)::bigint,
sum(cached_tokens)::bigint,
sum(reasoning_tokens)::bigint,
sum(cost_nanos)::bigint,
sum(unpriced_calls)::bigint

-- name: fold_usage
-- Nobody adds to these rows any more: their hour is over, or their connection is gone.
WITH past AS (
    DELETE FROM hourly_usage WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM hourly_usage WHERE backend <> 0 AND (hour < %(before)s OR {backend_ended}) LIMIT %(limit)s
    ))
    RETURNING tenant, hour, key, subject, agent, model, {token_columns}
)
INSERT INTO hourly_usage AS known (tenant, hour, key, subject, agent, model, backend, {token_columns})
SELECT tenant, hour, key, subject, agent, model, 0, {summed_tokens}
FROM past GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
ON CONFLICT (tenant, hour, key, subject, agent, model, backend) DO UPDATE SET
    {added_tokens}

-- name: message_usage
SELECT model, {token_columns} FROM message_usage
WHERE message_id = (SELECT id FROM messages WHERE id = %(id)s AND tenant = %(tenant)s)
ORDER BY model

-- name: usage_of_messages
SELECT message_id, model, {token_columns} FROM message_usage
WHERE message_id = ANY (ARRAY(
    SELECT id FROM messages
    WHERE id = ANY (ARRAY(SELECT json_array_elements_text(%(ids)s::json))) AND tenant = %(tenant)s
))
ORDER BY message_id, model

-- name: usage_sums
SELECT hour, tenant, key, subject, agent, model, {summed_tokens} FROM (
    SELECT
        CASE WHEN %(by_hour)s::boolean THEN hour WHEN %(by_day)s::boolean THEN hour / 24 * 24 ELSE 0 END AS hour,
        CASE WHEN %(by_tenant)s::boolean THEN tenant ELSE '' END AS tenant,
        CASE WHEN %(by_key)s::boolean THEN key ELSE '' END AS key,
        CASE WHEN %(by_subject)s::boolean THEN subject ELSE '' END AS subject,
        CASE WHEN %(by_agent)s::boolean THEN agent ELSE '' END AS agent,
        CASE WHEN %(by_model)s::boolean THEN model ELSE '' END AS model,
        {token_columns}
    FROM hourly_usage

-- name: chosen_usage
    hour >= %(begin)s AND hour < %(end)s
        AND (%(key)s::text IS NULL OR key = %(key)s::text) AND (%(subject)s::text IS NULL OR subject = %(subject)s::text)
        AND (%(agent)s::text IS NULL OR agent = %(agent)s::text) AND (%(model)s::text IS NULL OR model = %(model)s::text)
) AS given
WHERE (hour, tenant, key, subject, agent, model) > (
    %(after_hour)s, %(after_tenant)s, %(after_key)s, %(after_subject)s, %(after_agent)s, %(after_model)s
)
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6 LIMIT %(limit)s

-- name: list_usage
{usage_sums} WHERE {chosen_usage}

-- name: list_usage_of_tenant
{usage_sums} WHERE tenant = %(tenant)s AND {chosen_usage}

-- name: prune_usage
WITH old AS (
    DELETE FROM hourly_usage WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM hourly_usage WHERE hour < %(before)s ORDER BY hour LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM old

-- name: measure_tables
-- Tables of the queue and of the agents' memory in this database, with their indexes and long values. Rows are estimates of the
-- server, NULL for a table that was not analyzed yet.
SELECT CASE WHEN nspname = current_schema() THEN relname ELSE 'memory.' || relname END,
    pg_total_relation_size(pg_class.oid), CASE WHEN reltuples >= 0 THEN reltuples::bigint END
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'r' AND nspname IN (current_schema(), 'agent_queue_memory')
ORDER BY 2 DESC, 1

-- name: list_stored_tenants
-- Each step seeks the next tenant in three tables, however many rows are in between.
WITH RECURSIVE found (tenant) AS (
    SELECT %(after)s::text COLLATE "C"
    UNION ALL
    SELECT least(
        (SELECT min(threads.tenant) FROM threads WHERE threads.tenant > found.tenant),
        (SELECT min(messages.tenant) FROM messages WHERE messages.tenant > found.tenant),
        (SELECT min(items.tenant) FROM items WHERE items.tenant > found.tenant)
    )
    FROM found WHERE found.tenant IS NOT NULL
)
SELECT tenant FROM found WHERE tenant > %(after)s LIMIT %(limit)s

-- name: content_bytes
-- The field `message_bytes` of `app.models.storage.MessageSizes`. Lengths are in the heads of values, so no long text is read.
octet_length(messages.content) + coalesce(octet_length(messages.options), 0)
+ coalesce(octet_length(messages.metadata), 0) + coalesce(octet_length(messages.result), 0)
+ coalesce(octet_length(messages.output), 0) + coalesce(octet_length(messages.error), 0)
+ coalesce(octet_length(messages.interrupt), 0) + coalesce(octet_length(messages.resume_value), 0)

-- name: log_of_message
-- LATERAL is needed for both figures of a log.
LATERAL (
    SELECT count(*) AS events, coalesce(sum(octet_length(data)), 0)::bigint AS event_bytes
    FROM events WHERE events.message = page.number
) AS log

-- name: list_thread_ids
SELECT thread_id FROM threads WHERE tenant = %(tenant)s AND thread_id > %(thread_id)s AND hidden IS NULL
ORDER BY thread_id LIMIT %(limit)s

-- name: measure_threads
SELECT thread_id, thread_number, bytes, events, event_bytes
FROM (
    SELECT thread_id, thread_number, number, {content_bytes} AS bytes FROM messages
    WHERE tenant = %(tenant)s AND thread_id > %(thread_id)s AND thread_id <= %(last)s
    ORDER BY thread_id, thread_number LIMIT %(limit)s
) AS page CROSS JOIN {log_of_message}
ORDER BY thread_id, thread_number

-- name: measure_thread
SELECT thread_id, thread_number, bytes, events, event_bytes
FROM (
    SELECT thread_id, thread_number, number, {content_bytes} AS bytes FROM messages
    WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND thread_number > %(number)s
    ORDER BY thread_number LIMIT %(limit)s
) AS page CROSS JOIN {log_of_message}
ORDER BY thread_number

-- name: measure_messages
-- Rows of threads have no id, and their logs are not read.
SELECT place, id, bytes, events, event_bytes
FROM (
    SELECT number AS place, CASE WHEN thread_id IS NULL THEN id END AS id, CASE WHEN thread_id IS NULL THEN number END AS number,
        {content_bytes} AS bytes
    FROM messages WHERE tenant = %(tenant)s AND messages.number > %(number)s ORDER BY messages.number LIMIT %(limit)s
) AS page CROSS JOIN {log_of_message}
ORDER BY place

-- name: measure_items
SELECT namespace, key, octet_length(value) FROM items
WHERE tenant = %(tenant)s AND (namespace, key) > (%(namespace)s, %(key)s) ORDER BY namespace, key LIMIT %(limit)s

-- name: sampled_columns
id, tenant, thread_id, agent, state, readiness, attempt, crashes, worker_id, coalesce(completed_at, created_at),
    coalesce(error_code, (
        SELECT error_code FROM attempts WHERE attempts.message = messages.number ORDER BY fence DESC LIMIT 1
    ))

-- name: sample_waiting
SELECT {sampled_columns} FROM messages WHERE state = 'queued' AND rank IS NOT NULL ORDER BY rank, number LIMIT %(limit)s

-- name: sample_delayed
SELECT {sampled_columns} FROM messages WHERE readiness = 'delayed' ORDER BY run_at, number LIMIT %(limit)s

-- name: sample_processing
SELECT {sampled_columns} FROM messages WHERE state = 'processing' ORDER BY coalesce(lease_until, 0), number LIMIT %(limit)s

-- name: sample_ended
SELECT {sampled_columns} FROM messages WHERE completed_at IS NOT NULL ORDER BY completed_at DESC, number DESC LIMIT %(limit)s

-- name: count_connections
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
    current_setting('max_connections')::bigint

-- name: data_directory
-- No row for a role that may not know it, or if the server is not on this host.
SELECT setting FROM pg_settings WHERE name = 'data_directory'
    AND (inet_server_addr() IS NULL OR inet_server_addr() << '127.0.0.0/8' OR inet_server_addr() = '::1')

-- name: list_slots
-- Replication slots, with the bytes of WAL that the server keeps for each.
SELECT slot_name, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint FROM pg_replication_slots
WHERE restart_lsn IS NOT NULL ORDER BY 2 DESC LIMIT 5

-- name: failing_archive
SELECT last_failed_wal FROM pg_stat_archiver
WHERE last_failed_time > coalesce(last_archived_time, '-infinity') AND current_setting('archive_mode') <> 'off'

-- name: oldest_transaction
-- Transactions of other roles have no times for a role that may not see them.
SELECT pid, extract(epoch FROM clock_timestamp() - xact_start)::float8 FROM pg_stat_activity
WHERE xact_start IS NOT NULL AND datname = current_database() AND pid <> pg_backend_pid()
ORDER BY xact_start LIMIT 1

-- name: counted
-- The fields of `app.models.statistics.Counted`. The many that have no times are counted here.
at / 60000 * 60000, tenant, type, agent, priority, wait_ms, first_token_ms, run_ms, error_code, usage, count(*)

-- name: counted_together
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10

-- name: any_unfolded
SELECT EXISTS (
    SELECT FROM transitions
    WHERE (transaction, number) > (SELECT transaction, number FROM figures_head) AND transaction < {oldest_running}
)

-- name: oldest_running
-- All transactions with lower numbers have ended. What they wrote is visible, unless they were rolled back.
pg_snapshot_xmin(pg_current_snapshot())::text::bigint

-- name: lock_figures
SELECT transaction, number FROM figures_head FOR UPDATE SKIP LOCKED

-- name: await_figures
SELECT FROM figures_head FOR UPDATE

-- name: any_of_other_server
-- Whether there are transitions of transactions that this server has not begun.
SELECT greatest((SELECT max(transaction) FROM transitions), (SELECT transaction FROM figures_head))
    >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint

-- name: drop_folded
DELETE FROM transitions WHERE (transaction, number) <= (SELECT transaction, number FROM figures_head)

-- name: restart_transitions
UPDATE transitions SET transaction = 0 WHERE transaction > 0

-- name: rename_transition_log
UPDATE transition_log SET name = left(gen_random_uuid()::text, 8), pruned_transaction = 0, pruned_number = 0

-- name: last_unfolded
-- The last transition to add, and how many there are up to it.
WITH part AS (
    SELECT transaction, number FROM transitions
    WHERE (transaction, number) > (%(transaction)s::bigint, %(number)s::bigint) AND transaction < {oldest_running}
    ORDER BY transaction, number LIMIT %(limit)s
)
SELECT transaction, number, (SELECT count(*) FROM part) FROM part ORDER BY transaction DESC, number DESC LIMIT 1

-- name: count_unfolded
SELECT {counted} FROM transitions
WHERE (transaction, number) > (%(transaction)s::bigint, %(number)s::bigint)
    AND (transaction, number) <= (%(last_transaction)s::bigint, %(last_number)s::bigint)
{counted_together}

-- name: find_unfolded
SELECT {counted} FROM transitions
WHERE (transaction, number) > (SELECT transaction, number FROM figures_head)
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
{counted_together}

-- name: add_figures
INSERT INTO figures AS figure (step, tenant, metric, start, agent, priority, label, value)
SELECT * FROM unnest(
    %(steps)s::bigint[], %(tenants)s::text[], %(metrics)s::text[], %(starts)s::bigint[], %(agents)s::text[],
    %(priorities)s::text[], %(labels)s::text[], %(values)s::bigint[]
)
ON CONFLICT (tenant, step, metric, start, agent, priority, label) DO UPDATE SET value = figure.value + excluded.value

-- name: move_figures_head
UPDATE figures_head SET transaction = %(transaction)s, number = %(number)s

-- name: prune_transitions
-- The oldest rows go up to the first that stays, and the last of them is noted: a later cursor has missed none.
WITH oldest AS MATERIALIZED (
    SELECT transaction, number, at >= %(before)s AND number > (
        SELECT number FROM transitions ORDER BY transaction DESC, number DESC LIMIT 1
    ) - %(kept)s AS stays
    FROM transitions
    WHERE (transaction, number) <= (SELECT transaction, number FROM figures_head)
    ORDER BY transaction, number LIMIT %(limit)s
), first AS MATERIALIZED (
    SELECT transaction, number FROM oldest WHERE stays ORDER BY transaction, number LIMIT 1
), deleted AS (
    DELETE FROM transitions USING oldest
    WHERE transitions.transaction = oldest.transaction AND transitions.number = oldest.number
        AND ((oldest.transaction, oldest.number) < (SELECT transaction, number FROM first) OR NOT EXISTS (SELECT FROM first))
    RETURNING transitions.transaction, transitions.number
), noted AS (
    UPDATE transition_log SET pruned_transaction = last.transaction, pruned_number = last.number
    FROM (SELECT transaction, number FROM deleted ORDER BY transaction DESC, number DESC LIMIT 1) AS last
    WHERE (pruned_transaction, pruned_number) < (last.transaction, last.number)
)
SELECT count(*) FROM deleted

-- name: transition_bounds
-- The name of this log in cursors, the last transition that was deleted, the last one that can be read, and whether there
-- are newer ones, which wait for the end of older transactions.
SELECT name, pruned_transaction, pruned_number, coalesce(last.transaction, pruned_transaction) AS last_transaction,
    coalesce(last.number, pruned_number) AS last_number,
    EXISTS (SELECT FROM transitions WHERE transaction >= {oldest_running}) AS newer
FROM transition_log LEFT JOIN LATERAL (
    SELECT transaction, number FROM transitions WHERE transaction < {oldest_running}
    ORDER BY transaction DESC, number DESC LIMIT 1
) AS last ON TRUE

-- name: read_transitions
-- One statement, so that the bounds and the rows are of one snapshot. `known`: nothing is missing behind the cursor.
-- Records of model calls are no changes: only the figures count them.
WITH begin AS MATERIALIZED (
    SELECT *, name = %(log)s AND (%(transaction)s::bigint, %(number)s::bigint)
        BETWEEN (pruned_transaction, pruned_number) AND (last_transaction, last_number) AS known
    FROM ({transition_bounds}) AS bounds
)
SELECT begin.name, begin.last_transaction, begin.last_number, begin.newer, begin.known, page.*
FROM begin LEFT JOIN LATERAL (
    SELECT transaction, number, at, tenant, type, message_id, thread_id, agent, priority, before, error_code, worker_id
    FROM transitions
    WHERE (transaction, number) > (
        CASE WHEN known THEN %(transaction)s::bigint ELSE pruned_transaction END,
        CASE WHEN known THEN %(number)s::bigint ELSE pruned_number END
    ) AND transaction < {oldest_running} AND type <> 'usage' AND (%(tenant)s::text IS NULL OR tenant IN ('', %(tenant)s))
    ORDER BY transaction, number LIMIT %(limit)s
) AS page ON TRUE
ORDER BY page.transaction, page.number

-- name: sum_figures
{summed_figures} FROM figures WHERE figures.tenant = %(tenant)s AND {chosen_figures}

-- name: sum_figures_of_all
-- Each tenant's figures are found by the primary key.
{summed_figures} FROM (SELECT DISTINCT tenant AS name FROM tallies) AS chosen
JOIN figures ON figures.tenant = chosen.name WHERE {chosen_figures}

-- name: summed_figures
SELECT CASE WHEN %(by_start)s THEN start ELSE 0 END,
    CASE %(by)s::text WHEN 'agent' THEN agent WHEN 'priority' THEN priority WHEN 'tenant' THEN figures.tenant ELSE '' END,
    metric, label, sum(value)::bigint

-- name: chosen_figures
step = %(step)s AND metric = ANY (ARRAY(SELECT json_array_elements_text(%(metrics)s::json)))
    AND start >= %(since)s AND start < %(until)s AND (%(agent)s::text IS NULL OR agent = %(agent)s)
GROUP BY 1, 2, 3, 4

-- name: prune_figures
DELETE FROM figures WHERE step = %(step)s AND start < %(before)s

-- name: differing_tallies
-- Counts by indexes. The rest of a tenant's messages is completed.
WITH known AS MATERIALIZED (
    SELECT tenant, 'unfinished' AS state, priority, count(*) AS messages FROM messages
    WHERE state = 'queued' AND rank IS NOT NULL GROUP BY tenant, priority
    UNION ALL
    SELECT tenant, 'unfinished', priority, count(*) FROM messages WHERE readiness = 'delayed' GROUP BY tenant, priority
    UNION ALL
    SELECT tenant, 'unfinished', priority, count(*) FROM messages WHERE state = 'processing' GROUP BY tenant, priority
    UNION ALL
    SELECT tenant, state, '', count(*) FROM messages WHERE state = 'interrupted' GROUP BY tenant, state
    UNION ALL
    SELECT tenant, state, '', count(*) FROM messages WHERE state = 'failed' GROUP BY tenant, state
    UNION ALL
    SELECT tenant, state, '', count(*) FROM messages WHERE state = 'cancelled' GROUP BY tenant, state
), counted AS (
    SELECT tenant, state, priority, messages FROM known
    UNION ALL
    SELECT tenant, 'completed', '', count(*) FROM messages GROUP BY tenant
    UNION ALL
    SELECT tenant, 'completed', '', -messages FROM known
)
SELECT tenant, state, priority, sum(told)::bigint AS told, sum(messages)::bigint AS counted FROM (
    SELECT tenant, state, priority, messages AS told, 0 AS messages FROM tallies
    UNION ALL
    SELECT tenant, state, priority, 0, messages FROM counted
) AS compared GROUP BY tenant, state, priority HAVING sum(told) <> sum(messages) ORDER BY tenant, state, priority

-- name: wait_for_folding
SELECT pg_advisory_xact_lock(hashtextextended('agent_queue.fold', 0))

-- name: repair_tallies
WITH differing AS MATERIALIZED ({differing_tallies}), repaired AS (
    INSERT INTO tallies AS tally (backend, tenant, state, priority, messages)
    SELECT 0, tenant, state, priority, counted - told FROM differing
    ON CONFLICT (backend, tenant, state, priority) DO UPDATE SET messages = tally.messages + excluded.messages
)
SELECT tenant, state, priority, told, counted FROM differing

-- name: differing_levels
-- Processing messages keep their rank, and are counted.
SELECT level, sum(told)::bigint AS told, sum(waiting)::bigint AS counted FROM (
    SELECT level, waiting AS told, 0 AS waiting FROM levels
    UNION ALL
    SELECT rank / 1000000000000000, 0, count(*) FROM messages WHERE state = 'queued' AND rank IS NOT NULL
    GROUP BY rank / 1000000000000000
    UNION ALL
    SELECT rank / 1000000000000000, 0, count(*) FROM messages WHERE state = 'processing' AND rank IS NOT NULL
    GROUP BY rank / 1000000000000000
) AS compared GROUP BY level HAVING sum(told) <> sum(waiting) ORDER BY level

-- name: repair_levels
WITH differing AS MATERIALIZED ({differing_levels}), repaired AS (
    INSERT INTO levels AS kept (backend, level, waiting)
    SELECT 0, level, counted - told FROM differing
    ON CONFLICT (backend, level) DO UPDATE SET waiting = kept.waiting + excluded.waiting
)
SELECT level, told, counted FROM differing

-- name: compared_threads
-- `part` names the threads.
found AS (
    SELECT part.tenant, part.thread_id,
        count(*) FILTER (WHERE state IN ('queued', 'processing', 'interrupted')) AS unfinished,
        count(*) FILTER (WHERE state = 'interrupted') AS interrupted,
        count(*) FILTER (WHERE state = 'completed') AS completed, count(*) FILTER (WHERE state = 'failed') AS failed,
        count(*) FILTER (WHERE state = 'cancelled') AS cancelled
    FROM part LEFT JOIN messages ON messages.tenant = part.tenant AND messages.thread_id = part.thread_id
    GROUP BY part.tenant, part.thread_id
), differing AS MATERIALIZED (
    SELECT part.tenant, part.thread_id,
        format('%%s unfinished, %%s interrupted, %%s completed, %%s failed, %%s cancelled', part.unfinished, part.interrupted,
            part.completed, part.failed, part.cancelled) AS told,
        format('%%s unfinished, %%s interrupted, %%s completed, %%s failed, %%s cancelled', found.unfinished,
            found.interrupted, found.completed, found.failed, found.cancelled) AS counted,
        found.unfinished - part.unfinished AS unfinished, found.interrupted - part.interrupted AS interrupted,
        found.completed - part.completed AS completed, found.failed - part.failed AS failed,
        found.cancelled - part.cancelled AS cancelled
    FROM part JOIN found ON found.tenant = part.tenant AND found.thread_id = part.thread_id
    WHERE (found.unfinished, found.interrupted, found.completed, found.failed, found.cancelled)
        <> (part.unfinished, part.interrupted, part.completed, part.failed, part.cancelled)
)

-- name: differing_threads
WITH part AS MATERIALIZED (
    SELECT tenant, thread_id, unfinished, interrupted, completed, failed, cancelled FROM threads
    WHERE (tenant, thread_id) > (%(tenant)s, %(thread_id)s) AND hidden IS NULL
    ORDER BY tenant, thread_id LIMIT %(limit)s
), {compared_threads}
SELECT tenant, thread_id, told, counted FROM differing

-- name: end_of_threads
SELECT tenant, thread_id FROM threads WHERE (tenant, thread_id) > (%(tenant)s, %(thread_id)s) AND hidden IS NULL
ORDER BY tenant, thread_id LIMIT 1 OFFSET %(before)s

-- name: repair_thread
WITH part AS MATERIALIZED (
    SELECT tenant, thread_id, unfinished, interrupted, completed, failed, cancelled FROM threads
    WHERE tenant = %(tenant)s AND thread_id = %(thread_id)s AND hidden IS NULL
), {compared_threads}, repaired AS (
    UPDATE threads SET
        unfinished = threads.unfinished + differing.unfinished, interrupted = threads.interrupted + differing.interrupted,
        completed = threads.completed + differing.completed, failed = threads.failed + differing.failed,
        cancelled = threads.cancelled + differing.cancelled
    FROM differing WHERE threads.tenant = differing.tenant AND threads.thread_id = differing.thread_id
)
SELECT tenant, thread_id, told, counted FROM differing

-- name: erasure_columns
id, tenant, kind, name, actor, started_at, ended_at, counts

-- name: running_erasures
SELECT tenant, kind, name FROM erasures WHERE ended_at IS NULL

-- name: begin_erasure
INSERT INTO erasures (id, tenant, kind, name, actor, started_at)
VALUES (%(id)s, %(tenant)s, %(kind)s, %(name)s, %(actor)s, %(now)s)
ON CONFLICT (tenant, kind, name) WHERE ended_at IS NULL DO NOTHING
RETURNING {erasure_columns}

-- name: same_erasure
SELECT {erasure_columns} FROM erasures
WHERE tenant = %(tenant)s AND kind = %(kind)s AND name = %(name)s AND ended_at IS NULL

-- name: get_erasure
SELECT {erasure_columns} FROM erasures WHERE id = %(id)s AND {of_tenant}

-- name: list_erasures
SELECT {erasure_columns} FROM erasures WHERE {of_tenant} ORDER BY started_at DESC, id DESC LIMIT %(limit)s

-- name: claim_erasure
UPDATE erasures SET busy_until = %(until)s WHERE id = (
    SELECT id FROM erasures WHERE ended_at IS NULL AND busy_until <= %(now)s
    ORDER BY started_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING {erasure_columns}

-- name: release_erasure
UPDATE erasures SET busy_until = 0 WHERE id = %(id)s

-- name: count_erased
-- Kinds of which there are none are left out.
UPDATE erasures SET counts = (
    SELECT coalesce(jsonb_object_agg(kind, total), '{}')::text FROM (
        SELECT kind, sum(number) AS total FROM (
            SELECT key AS kind, value::bigint AS number FROM jsonb_each_text(erasures.counts::jsonb)
            UNION ALL
            SELECT key, value::bigint FROM jsonb_each_text(%(more)s::jsonb)
        ) AS each GROUP BY kind HAVING sum(number) > 0
    ) AS added
)
WHERE id = %(id)s

-- name: add_erased_names
INSERT INTO erased_names (erasure, name) SELECT %(erasure)s, unnest(%(names)s::text[]) ON CONFLICT DO NOTHING

-- name: lock_erasable
SELECT number, id, thread_id, log_pruned FROM messages
WHERE id = ANY (%(ids)s::text[]) AND tenant = %(tenant)s AND completed_at IS NOT NULL ORDER BY number FOR UPDATE SKIP LOCKED

-- name: count_parts
-- The events, failed attempts, deliveries and aliases of messages. The ids of events are dense, so two of a message tell.
SELECT
    (SELECT coalesce(sum(
        (SELECT max(id) FROM events WHERE message = named.number)
        - (SELECT min(id) FROM events WHERE message = named.number) + 1
    ), 0)::bigint FROM unnest(%(numbers)s::bigint[]) AS named (number)),
    (SELECT count(*) FROM attempts WHERE message = ANY (%(numbers)s::bigint[])),
    (SELECT count(*) FROM deliveries WHERE message_id = ANY (%(ids)s::text[])),
    (SELECT count(*) FROM aliases WHERE message_id = ANY (%(ids)s::text[]))

-- name: note_erased
INSERT INTO deleted_messages (id, deleted_at)
SELECT id, %(now)s FROM messages WHERE number = ANY (%(numbers)s::bigint[]) AND created_at > %(after)s
ON CONFLICT DO NOTHING

-- name: erase_messages
WITH deleted AS (
    DELETE FROM messages WHERE number = ANY (%(numbers)s::bigint[]) RETURNING tenant, thread_id, id, log_pruned
)
INSERT INTO dropped_memories
SELECT tenant, '', id FROM deleted WHERE thread_id IS NULL AND NOT log_pruned ON CONFLICT DO NOTHING

-- name: erase_items
WITH gone AS (
    DELETE FROM items WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM items
        WHERE tenant = %(tenant)s AND namespace >= %(begin)s AND namespace < %(end)s LIMIT %(limit)s
    ))
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: erase_request_keys
WITH gone AS (
    DELETE FROM request_keys WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM request_keys WHERE tenant = %(tenant)s LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: erase_usage
WITH gone AS (
    DELETE FROM hourly_usage WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM hourly_usage WHERE tenant = %(tenant)s LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: erase_subject_of_usage
WITH gone AS (
    DELETE FROM hourly_usage WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM hourly_usage WHERE tenant = %(tenant)s AND subject = %(subject)s
        LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING hour, key, agent, model, {token_columns}
), kept AS (
    INSERT INTO hourly_usage AS known (tenant, hour, key, subject, agent, model, backend, {token_columns})
    SELECT %(tenant)s, hour, key, '', agent, model, 0, {summed_tokens}
    FROM gone GROUP BY hour, key, agent, model ORDER BY hour, key, agent, model
    ON CONFLICT (tenant, hour, key, subject, agent, model, backend) DO UPDATE SET
        {added_tokens}
)
SELECT count(*) FROM gone

-- name: erase_figures
WITH gone AS (
    DELETE FROM figures WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM figures WHERE tenant = %(tenant)s LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: erase_api_keys
WITH gone AS (
    DELETE FROM api_keys WHERE id = ANY (ARRAY(SELECT id FROM api_keys WHERE tenant = %(tenant)s ORDER BY id LIMIT %(limit)s))
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: erase_token_ends
-- The end of all of the tenant's tokens stays, and holds for these too.
WITH gone AS (
    DELETE FROM ended_tokens WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM ended_tokens WHERE tenant = %(tenant)s AND subject <> '' LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: erase_tallies
-- Nothing of the tenant is left: the counts of all connections add up to 0.
DELETE FROM tallies WHERE tenant = %(tenant)s

-- name: end_of_request_keys
SELECT max(key) FROM request_keys WHERE tenant = %(tenant)s

-- name: end_of_forks
SELECT max(thread_id) FROM threads WHERE tenant = %(tenant)s

-- name: end_of_audit
SELECT max(number) FROM audit

-- name: end_of_transitions
SELECT max(transaction) FROM transitions

-- name: part_of_request_keys
SELECT max(key) FROM (
    SELECT key FROM request_keys WHERE tenant = %(tenant)s AND key > %(after)s ORDER BY key LIMIT %(limit)s
) AS part

-- name: part_of_forks
SELECT max(thread_id) FROM (
    SELECT thread_id FROM threads WHERE tenant = %(tenant)s AND thread_id > %(after)s ORDER BY thread_id LIMIT %(limit)s
) AS part

-- name: part_of_audit
SELECT max(number) FROM (
    SELECT number FROM audit WHERE number > %(after)s ORDER BY number LIMIT %(limit)s
) AS part

-- name: part_of_transitions
-- A transaction may have more changes than the limit.
SELECT max(transaction) FROM (
    SELECT transaction FROM transitions WHERE transaction > %(after)s ORDER BY transaction, number LIMIT %(limit)s
) AS part

-- name: is_erased_name
IN (SELECT name FROM erased_names WHERE erasure = %(erasure)s)

-- name: erase_keys_by_name
-- Keys of the subject begin with its name, see `app.access.visible.own_name`. Receipts name the messages or the thread.
WITH gone AS (
    DELETE FROM request_keys WHERE tenant = %(tenant)s AND key > %(after)s AND key <= %(last)s AND (
        starts_with(key, %(own)s::text) AND %(own)s::text <> ''
        OR EXISTS (
            SELECT 1 FROM jsonb_path_query(receipts::jsonb, 'strict $.**') AS part
            WHERE part #>> '{}' {is_erased_name}
        )
    )
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: names_erased_thread
forked_from::jsonb ->> 'thread_id' {is_erased_name}

-- name: names_erased_message
forked_from::jsonb ->> 'message_id' {is_erased_name}

-- name: erase_names_of_forks
-- The fork of a fork may name a message of the first thread.
WITH changed AS (
    UPDATE threads SET forked_from = (
        forked_from::jsonb
        || CASE WHEN {names_erased_thread} THEN jsonb_build_object('thread_id', 'erased') ELSE '{}' END
        || CASE WHEN {names_erased_message} THEN jsonb_build_object('message_id', 'erased') ELSE '{}' END
    )::text
    WHERE tenant = %(tenant)s AND thread_id > %(after)s AND thread_id <= %(last)s AND forked_from IS NOT NULL
        AND ({names_erased_thread} OR {names_erased_message})
    RETURNING 1
)
SELECT count(*) FROM changed

-- name: erase_names_of_audit
WITH changed AS (
    UPDATE audit SET
        actor = CASE WHEN actor = %(actor)s OR %(everything)s AND starts_with(actor, 'subject:') THEN 'subject:erased'
            ELSE actor END,
        address = CASE WHEN actor = %(actor)s OR %(everything)s THEN NULL ELSE address END,
        details = '{}',
        targets = (
            SELECT coalesce(jsonb_agg(
                CASE WHEN %(everything)s OR {names_in_details} OR target {is_erased_name} THEN 'erased' ELSE target END
                ORDER BY place
            ), '[]')::text
            FROM jsonb_array_elements_text(audit.targets::jsonb) WITH ORDINALITY AS named (target, place)
        )
    WHERE number > %(after)s AND number <= %(last)s AND tenant = %(tenant)s AND action <> 'data.erase' AND (
        %(everything)s OR actor = %(actor)s OR {names_in_details}
        OR EXISTS (SELECT 1 FROM jsonb_array_elements_text(targets::jsonb) AS named WHERE named {is_erased_name})
    )
    RETURNING 1
)
SELECT count(*) FROM changed

-- name: names_in_details
EXISTS (
    SELECT 1 FROM jsonb_path_query(audit.details::jsonb, 'strict $.**') AS detail WHERE detail #>> '{}' {is_erased_name}
)

-- name: erase_actor_of_audit
-- The record of the erasure itself names who asked for it, which may be the subject.
UPDATE audit SET actor = 'subject:erased', address = NULL
WHERE number > %(after)s AND number <= %(last)s AND tenant = %(tenant)s AND action = 'data.erase'
    AND (actor = %(actor)s OR %(everything)s AND starts_with(actor, 'subject:'))

-- name: erase_names_of_transitions
WITH changed AS (
    UPDATE transitions SET thread_id = 'erased'
    WHERE transaction > %(after)s AND transaction <= %(last)s AND tenant = %(tenant)s AND thread_id IS NOT NULL
        AND (%(everything)s OR thread_id {is_erased_name})
    RETURNING 1
)
SELECT count(*) FROM changed

-- name: forget_erased_names
WITH gone AS (
    DELETE FROM erased_names WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM erased_names WHERE erasure = %(erasure)s LIMIT %(limit)s
    ))
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: left_of_tenant
SELECT EXISTS (SELECT 1 FROM messages WHERE tenant = %(tenant)s) OR EXISTS (SELECT 1 FROM threads WHERE tenant = %(tenant)s)
    OR {is_unsettled}

-- name: left_of_subject
SELECT EXISTS (SELECT 1 FROM messages WHERE tenant = %(tenant)s AND subject = %(name)s)
    OR EXISTS (SELECT 1 FROM threads WHERE tenant = %(tenant)s AND subject = %(name)s) OR {is_unsettled}

-- name: left_of_thread
SELECT EXISTS (SELECT 1 FROM messages WHERE tenant = %(tenant)s AND thread_id = %(name)s)
    OR EXISTS (SELECT 1 FROM threads WHERE tenant = %(tenant)s AND thread_id = %(name)s) OR {is_unsettled}

-- name: is_unsettled
-- A transaction that is still running may not have seen the erasure, and may store messages.
EXISTS (
    SELECT 1 FROM erasures WHERE id = %(erasure)s AND transaction >= {oldest_running}
        AND transaction < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
)

-- name: left_in_memory
SELECT EXISTS (
    SELECT 1 FROM dropped_memories WHERE tenant = %(tenant)s
        AND (%(everything)s OR thread_id {is_erased_name} OR message_id {is_erased_name})
) OR EXISTS (SELECT 1 FROM dropped_logs)

-- name: end_erasure
UPDATE erasures SET ended_at = %(now)s, name = '' WHERE id = %(id)s AND ended_at IS NULL
