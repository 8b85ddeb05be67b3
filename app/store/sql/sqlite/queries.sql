-- Named queries, read by `app.store.sql.named_sql`. {name} is replaced by the text of the entry `name`.

-- name: queue_id
SELECT id FROM queue

-- name: accept_state
-- The number of queued messages, and whether an erasure runs. Every submit asks for both.
SELECT (SELECT coalesce(sum(messages), 0) FROM tallies WHERE state = 'queued'),
    EXISTS (SELECT 1 FROM erasures WHERE ended_at IS NULL)

-- name: count_queued_of_tenant
SELECT coalesce(sum(messages), 0) FROM tallies WHERE state = 'queued' AND tenant = :tenant

-- name: extend_thread
-- Reserves :count numbers and returns the last one, whether the thread has unfinished messages, and its subject; no row for
-- a hidden thread. The transaction holds the write lock: two messages cannot get numbers in one order and commit in the other. 65536
-- is THREAD_METADATA_LENGTH.
INSERT INTO threads (
    tenant, thread_id, subject, last_number, created_at, last_activity, last_message_preview, name, metadata
)
VALUES (:tenant, :thread_id, :subject, :count, :now, :now, :preview, :name, :metadata)
ON CONFLICT (tenant, thread_id) DO UPDATE SET
    last_number = last_number + excluded.last_number,
    last_activity = max(last_activity, excluded.last_activity),
    last_message_preview = excluded.last_message_preview,
    name = coalesce(excluded.name, name),
    metadata = CASE
        WHEN excluded.metadata IS NULL THEN metadata
        WHEN length(json_patch(coalesce(metadata, '{}'), excluded.metadata)) <= 65536
        THEN json_patch(coalesce(metadata, '{}'), excluded.metadata) ELSE metadata
    END
WHERE hidden IS NULL
RETURNING last_number, queued + processing + interrupted > 0, subject

-- name: asks_human
SELECT 1 FROM threads WHERE tenant = :tenant AND thread_id = :thread_id AND interrupted > 0

-- name: add_message
INSERT INTO messages (
    id, tenant, thread_id, thread_number, agent, content, priority, base_rank, flow, rank, state, readiness, run_at, options,
    rollback, webhook_url, webhook_key, webhook_events, receivers, metadata, subject, key_id, trace, created_at, accepted_at,
    changed_at
) VALUES (
    :id, :tenant, :thread_id, :thread_number, :agent, :content, :priority, :base_rank, :flow,
    CASE WHEN :readiness <> 'delayed' THEN :base_rank END, 'queued', :readiness, :run_at, :options,
    :rollback, :webhook_url, :webhook_key, :webhook_events, :receivers, :metadata, :subject, :key_id, :trace, :now, :now,
    :now
)
RETURNING number

-- name: next_rank
-- The rank of the next message of a flow, and the length of its turn. It is one turn after the last message of the flow, but
-- not before what was already claimed of the level. :first is the first rank of the level, :length is for the weight 1.
WITH turn (length) AS (
    SELECT max(1, CAST(:length / coalesce((SELECT weight FROM tenants WHERE tenant = :tenant), 1.0) + 0.5 AS INTEGER))
)
SELECT max(
    :first,
    coalesce((SELECT rank FROM claimed_ranks WHERE level = :first / 1000000000000000), 0),
    coalesce((
        SELECT base_rank FROM messages INDEXED BY messages_of_flow
        WHERE tenant = :tenant AND flow = :flow AND base_rank >= :first AND base_rank < :first + 1000000000000000
        ORDER BY base_rank DESC LIMIT 1
    ) + turn.length, 0)
), turn.length
FROM turn

-- name: last_rank
-- The last rank in a level, 0 if no message waits in it.
SELECT coalesce((
    SELECT rank FROM messages WHERE rank >= :first AND rank < :first + 1000000000000000 ORDER BY rank DESC LIMIT 1
), 0)

-- name: raise_claimed_rank
UPDATE claimed_ranks SET rank = :rank WHERE level = :rank / 1000000000000000 AND rank < :rank

-- name: leave_flow
-- A message that was cancelled before its first attempt takes no turn.
UPDATE messages SET flow = NULL WHERE number = :number AND attempt = 0

-- name: list_unfinished
-- Three queries, each on the index of one state.
SELECT number FROM (
    SELECT number, thread_number FROM messages
    WHERE tenant = :tenant AND thread_id = :thread_id AND state = 'processing'
    UNION ALL
    SELECT number, thread_number FROM messages
    WHERE tenant = :tenant AND thread_id = :thread_id AND state = 'interrupted'
    UNION ALL
    SELECT number, thread_number FROM messages INDEXED BY messages_queued_in_thread
    WHERE tenant = :tenant AND thread_id = :thread_id AND state = 'queued'
)
ORDER BY thread_number

-- name: find_of_other_agents
SELECT 1 FROM messages WHERE number IN ({list_unfinished}) AND agent NOT IN (SELECT value FROM json_each(:agents)) LIMIT 1

-- name: get_head
SELECT {message_columns} FROM {head}

-- name: head
-- The first unfinished message of a thread.
(
    SELECT * FROM messages WHERE tenant = :tenant AND thread_id = :thread_id AND state = 'processing'
    UNION ALL
    SELECT * FROM messages WHERE tenant = :tenant AND thread_id = :thread_id AND state = 'interrupted'
    UNION ALL
    SELECT * FROM (
        SELECT * FROM messages INDEXED BY messages_queued_in_thread
        WHERE tenant = :tenant AND thread_id = :thread_id AND state = 'queued'
        ORDER BY thread_number LIMIT 1
    )
)
ORDER BY thread_number LIMIT 1

-- name: find_key
SELECT fingerprint, receipts FROM request_keys WHERE tenant = :tenant AND key = :key AND created_at > :after

-- name: any_deleted
SELECT EXISTS (SELECT 1 FROM deleted_messages WHERE id IN (SELECT value FROM json_each(:ids)))

-- name: keep_key
INSERT OR REPLACE INTO request_keys (tenant, key, fingerprint, receipts, created_at)
VALUES (:tenant, :key, :fingerprint, :receipts, :now)

-- name: limit_values
SELECT name, value FROM limits WHERE name IN (SELECT value FROM json_each(:names))

-- name: keep_limit
INSERT OR REPLACE INTO limits (name, value, expires_at) VALUES (:name, :value, :ends)

-- name: prune_limits
DELETE FROM limits WHERE expires_at <= :now

-- name: prune_keys
DELETE FROM request_keys WHERE created_at <= :before

-- name: prune_deleted_messages
DELETE FROM deleted_messages WHERE deleted_at <= :before

-- name: find_alias
SELECT message_id, first_event FROM aliases WHERE tenant = :tenant AND alias = :alias

-- name: list_aliases
SELECT alias, first_event FROM aliases INDEXED BY aliases_of_message WHERE message_id = :id AND tenant = :tenant
ORDER BY first_event, alias

-- name: find_taken_alias
-- :aliases is a JSON array of (tenant, alias, message id).
SELECT named.value ->> 1 FROM json_each(:aliases) AS named
WHERE EXISTS (
    SELECT 1 FROM aliases
    WHERE tenant = named.value ->> 0 AND alias = named.value ->> 1 AND message_id <> named.value ->> 2
) OR EXISTS (
    SELECT 1 FROM messages WHERE id = named.value ->> 1 AND +tenant = named.value ->> 0 AND +id <> named.value ->> 2
)
LIMIT 1

-- name: add_aliases
INSERT INTO aliases (tenant, alias, message_id, first_event)
SELECT value ->> 0, value ->> 1, value ->> 2, :first_event FROM json_each(:aliases) WHERE TRUE
ON CONFLICT DO NOTHING

-- name: needs_lift
-- Whether the message directly ahead in the thread has a worse rank.
SELECT rank > :rank FROM messages INDEXED BY messages_queued_in_thread
WHERE tenant = :tenant AND thread_id = :thread_id AND state = 'queued' AND thread_number < :thread_number
ORDER BY thread_number DESC LIMIT 1

-- name: lift_thread
-- Priority inheritance: messages ahead in the thread get a rank at least as good. Ranks never fall along a thread.
-- The messages to change are therefore its tail. The walk from the end stops at the first message that needs no change, or
-- at :limit. `settle_thread` continues there.
UPDATE messages SET rank = :rank, readiness = {ready_again}
WHERE tenant = :tenant AND thread_id = :thread_id AND state = 'queued' AND thread_number > coalesce((
    SELECT thread_number FROM (
        SELECT thread_number, rank FROM messages
        WHERE tenant = :tenant AND thread_id = :thread_id AND state = 'queued' AND thread_number < :thread_number
        ORDER BY thread_number DESC LIMIT :limit
    ) WHERE rank <= :rank LIMIT 1
), (
    SELECT thread_number FROM messages
    WHERE tenant = :tenant AND thread_id = :thread_id AND state = 'queued' AND thread_number < :thread_number
    ORDER BY thread_number DESC LIMIT 1 OFFSET :limit
), 0) AND thread_number < :thread_number AND rank > :rank  -- not a delayed head, whose rank is NULL

-- name: settle_thread
-- Computes ranks again from the base ranks, for :limit messages before :below. They inherit the rank :inherited.
UPDATE messages SET rank = settled.rank, readiness = {ready_again}
FROM (
    SELECT number, min(:inherited, min(base_rank) OVER (ORDER BY thread_number DESC ROWS UNBOUNDED PRECEDING)) AS rank
    FROM (
        SELECT number, base_rank, thread_number
        FROM messages INDEXED BY messages_queued_in_thread  -- else the planner walks all of the thread
        WHERE tenant = :tenant AND thread_id = :thread_id AND state = 'queued' AND thread_number < :below
        ORDER BY thread_number DESC LIMIT :limit
    )
) AS settled
WHERE messages.number = settled.number AND messages.rank <> settled.rank
RETURNING thread_number

-- name: inherited_from
-- The rank that messages before :below inherit.
SELECT rank FROM messages INDEXED BY messages_queued_in_thread
WHERE tenant = :tenant AND thread_id = :thread_id AND state = 'queued' AND thread_number >= :below
ORDER BY thread_number LIMIT 1

-- name: nth_before
-- The thread number with :limit - 1 waiting messages between itself and :below.
SELECT thread_number FROM messages INDEXED BY messages_queued_in_thread
WHERE tenant = :tenant AND thread_id = :thread_id AND state = 'queued' AND thread_number < :below
ORDER BY thread_number DESC LIMIT 1 OFFSET :limit - 1

-- name: list_tail
SELECT number, id, thread_number FROM messages INDEXED BY messages_queued_in_thread
WHERE tenant = :tenant AND thread_id = :thread_id AND state = 'queued'
ORDER BY thread_number DESC LIMIT :limit

-- name: inherited_ahead
-- Whether the message directly ahead in the thread inherited its rank.
SELECT rank < base_rank FROM messages INDEXED BY messages_queued_in_thread
WHERE tenant = :tenant AND thread_id = :thread_id AND state = 'queued' AND thread_number < :thread_number
ORDER BY thread_number DESC LIMIT 1

-- name: promote_next
UPDATE messages SET
    readiness = CASE WHEN run_at <= :now THEN 'ready' ELSE 'delayed' END,
    rank = CASE WHEN run_at <= :now THEN rank END
WHERE number = (
    SELECT number FROM messages
    WHERE tenant = :tenant AND thread_id = :thread_id AND state = 'queued'
    ORDER BY thread_number LIMIT 1
)

-- name: rank_of_head
-- The rank of the first unfinished message of a thread while it waits.
min(base_rank, coalesce({rank_behind}, base_rank))

-- name: rank_behind
(
    SELECT behind.rank FROM messages AS behind
    WHERE behind.tenant = messages.tenant AND behind.thread_id = messages.thread_id
        AND behind.state = 'queued' AND behind.thread_number > messages.thread_number
    ORDER BY behind.thread_number LIMIT 1
)

-- name: find_due
SELECT number, tenant, subject, priority, base_rank, flow FROM messages
WHERE readiness = 'delayed' AND run_at <= :now ORDER BY run_at, number LIMIT :limit

-- name: promote_due
UPDATE messages SET
    readiness = 'ready', base_rank = :base_rank, flow = :flow,
    rank = min(:base_rank, coalesce({rank_behind}, :base_rank))
WHERE number = :number

-- name: get_message
SELECT {message_columns} FROM messages WHERE id = :id AND tenant = :tenant

-- name: get_messages
-- `+`, here and in find_dead, keeps the planner from the index of all messages of the tenant.
SELECT {listed_columns} FROM messages WHERE id IN (SELECT value FROM json_each(:ids)) AND +tenant = :tenant

-- name: get_by_number
SELECT {message_columns} FROM messages WHERE number = :number

-- name: get_without_options
SELECT {listed_columns} FROM messages WHERE number = :number

-- name: place_in_queue
SELECT number, rank, readiness FROM messages WHERE id = :id AND tenant = :tenant AND state = 'queued'

-- name: find_ranks
SELECT number, rank FROM messages WHERE number BETWEEN :first AND :last AND state = 'queued'

-- name: count_levels
-- The numbers of waiting messages in better levels than the rank's, and in its own level.
SELECT
    coalesce(sum(waiting) FILTER (WHERE level < :rank / 1000000000000000), 0),
    coalesce(sum(waiting) FILTER (WHERE level = :rank / 1000000000000000), 0)
FROM levels

-- name: count_ahead
SELECT count(*) FROM (
    SELECT 1 FROM messages
    WHERE rank >= :rank / 1000000000000000 * 1000000000000000 AND rank <= :rank AND (rank < :rank OR number < :number)
    LIMIT :most
)

-- name: count_overtaking
-- Looks at the first messages of the level.
SELECT count(*) FROM (
    SELECT number FROM messages
    WHERE rank >= :rank / 1000000000000000 * 1000000000000000 AND rank < :rank
    ORDER BY rank, number LIMIT :most
) AS first WHERE number > :number

-- name: count_after
SELECT count(*) FROM (
    SELECT 1 FROM messages
    WHERE rank >= :rank AND rank < (:rank / 1000000000000000 + 1) * 1000000000000000
        AND (rank > :rank OR number > :number)
    LIMIT :most
)

-- name: count_between
-- The messages from the place (:first, :from) to before the place (:rank, :number), in the same level.
SELECT count(*) FROM (
    SELECT 1 FROM messages
    WHERE rank >= :first AND rank <= :rank
        AND (rank > :first OR number >= :from) AND (rank < :rank OR number < :number)
    LIMIT :most
)

-- name: places_from
-- Places (rank, number) of a level from the given place on.
SELECT rank, number FROM messages
WHERE rank >= :rank AND rank < (:rank / 1000000000000000 + 1) * 1000000000000000
    AND (rank > :rank OR number >= :number)
ORDER BY rank, number LIMIT :most

-- name: find_places
-- Delayed messages have no rank.
SELECT messages.number, rank FROM json_each(:numbers) AS named JOIN messages ON messages.number = named.value
WHERE state = 'queued'

-- name: places_to
-- Places (rank, number) from the end of a level, last first.
SELECT rank, number FROM messages
WHERE rank >= :rank AND rank < (:rank / 1000000000000000 + 1) * 1000000000000000
ORDER BY rank DESC, number DESC LIMIT :most

-- name: from_messages
-- Reads one range of numbers: a filter that matches nothing then reads few rows.
messages INDEXED BY messages_of_tenant
WHERE tenant = :tenant AND number < :before AND number >= :first AND {chosen}

-- name: list_messages
SELECT {listed_columns} FROM {from_messages}
ORDER BY number DESC LIMIT :limit

-- name: count_messages
SELECT count(*) FROM (SELECT number FROM {from_messages} LIMIT :limit) AS found

-- name: newest_messages
SELECT max(number) FROM messages WHERE tenant = :tenant AND number < :before

-- name: from_failed
-- Like list_messages, on the index of failed messages.
messages
WHERE tenant = :tenant AND number < :before AND number >= :first AND state = 'failed' AND {chosen}

-- name: list_failed
SELECT {listed_columns} FROM {from_failed}
ORDER BY number DESC LIMIT :limit

-- name: count_failed
SELECT count(*) FROM (SELECT number FROM {from_failed} LIMIT :limit) AS found

-- name: newest_failed
SELECT max(number) FROM messages WHERE tenant = :tenant AND number < :before AND state = 'failed'

-- name: from_cancelled
-- Like list_failed.
messages
WHERE tenant = :tenant AND number < :before AND number >= :first AND state = 'cancelled' AND {chosen}

-- name: list_cancelled
SELECT {listed_columns} FROM {from_cancelled}
ORDER BY number DESC LIMIT :limit

-- name: count_cancelled
SELECT count(*) FROM (SELECT number FROM {from_cancelled} LIMIT :limit) AS found

-- name: newest_cancelled
SELECT max(number) FROM messages WHERE tenant = :tenant AND number < :before AND state = 'cancelled'

-- name: from_of_subject
-- Like list_failed, for one subject.
messages INDEXED BY messages_of_subject
WHERE tenant = :tenant AND subject = :subject AND number < :before AND number >= :first AND {chosen}

-- name: list_of_subject
SELECT {listed_columns} FROM {from_of_subject}
ORDER BY number DESC LIMIT :limit

-- name: count_of_subject
SELECT count(*) FROM (SELECT number FROM {from_of_subject} LIMIT :limit) AS found

-- name: newest_of_subject
SELECT max(number) FROM messages WHERE tenant = :tenant AND subject = :subject AND number < :before

-- name: from_in_thread
-- Like list_messages, for a range of a thread.
messages
WHERE tenant = :tenant AND thread_id = :thread_id AND thread_number <= :last AND thread_number >= :first
    AND number < :before AND {chosen}

-- name: list_in_thread
SELECT {listed_columns} FROM {from_in_thread}
ORDER BY thread_number DESC LIMIT :limit

-- name: count_in_thread
SELECT count(*) FROM (SELECT number FROM {from_in_thread} LIMIT :limit) AS found

-- name: newest_in_thread
SELECT thread_number, number FROM messages WHERE tenant = :tenant AND thread_id = :thread_id
ORDER BY thread_number DESC LIMIT 1

-- name: newest_in_thread_before
-- Finds the place in the thread by the message of the cursor. If this message is deleted, walks the thread.
SELECT thread_number, number FROM messages
WHERE tenant = :tenant AND thread_id = :thread_id AND number < :before
    AND thread_number <= coalesce((
        SELECT cursor.thread_number FROM messages AS cursor
        WHERE cursor.number = :before AND cursor.tenant = :tenant AND cursor.thread_id = :thread_id
    ), 4611686018427387904)
ORDER BY thread_number DESC LIMIT 1

-- name: number_in_thread
SELECT number FROM messages WHERE tenant = :tenant AND thread_id = :thread_id AND thread_number <= :below
ORDER BY thread_number DESC LIMIT 1

-- name: from_unfinished_messages
-- Like list_messages, but by state, for few unfinished messages.
messages
WHERE number IN (
    SELECT number FROM messages WHERE rank IS NOT NULL
    UNION ALL SELECT number FROM messages WHERE readiness = 'delayed'
    UNION ALL SELECT number FROM messages WHERE state = 'processing'
    UNION ALL SELECT number FROM messages WHERE state = 'interrupted'
) AND +tenant = :tenant AND +number < :before AND {chosen}

-- name: list_unfinished_messages
SELECT {listed_columns} FROM {from_unfinished_messages}
ORDER BY number DESC LIMIT :limit

-- name: count_unfinished_messages
SELECT count(*) FROM (SELECT number FROM {from_unfinished_messages} LIMIT :limit) AS found

-- name: count_unfinished
SELECT coalesce(sum(messages), 0) FROM tallies
WHERE state IN ('queued', 'processing', 'interrupted')

-- name: visible_thread
-- :thread_ids is a JSON array, NULL if the caller is not narrowed to threads.
(:subject IS NULL OR subject = :subject)
AND (:thread_ids IS NULL OR thread_id IN (SELECT value FROM json_each(:thread_ids))
    OR substr(thread_id, 1, length(:thread_prefix)) = :thread_prefix)

-- name: visible_agent
(:agents IS NULL OR agent IN (SELECT value FROM json_each(:agents)))

-- name: chosen
{visible_thread} AND {visible_agent} AND
(:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
AND (:agent IS NULL OR agent = :agent)
AND (:priority IS NULL OR priority = :priority) AND (:error_code IS NULL OR error_code = :error_code)
AND (:fingerprint IS NULL OR fingerprint = :fingerprint)
AND (:metadata IS NULL OR NOT EXISTS (
    SELECT 1 FROM json_each(:metadata) AS wanted WHERE NOT EXISTS (
        SELECT 1 FROM json_each(wanted.value) AS form
        WHERE instr(',' || substr(metadata, 2, length(metadata) - 2) || ',', form.value)
    )
))
AND {hinted}

-- name: searched_text
-- The beginning of a long text, and a short text as it is: to cut it takes longer than to search all of it.
CASE WHEN octet_length(content) <= 4000 THEN content ELSE substr(content, 1, 1000) END

-- name: hinted
-- Metadata are JSON in ASCII, so that an escape may stand for any character.
(:hint IS NULL OR instr(lower({searched_text}), :hint)
    OR octet_length({searched_text}) > length({searched_text}) AND {searched_text} GLOB '*' || :folding || '*'
    OR instr(lower(metadata), :hint) OR instr(metadata, '\u'))

-- name: list_attempts
SELECT messages.id, attempts.attempt, attempts.worker_id, attempts.started_at, attempts.ended_at, attempts.error,
    attempts.error_code, attempts.details
FROM json_each(:ids) AS named
JOIN messages ON messages.id = named.value AND +messages.tenant = :tenant
JOIN attempts ON attempts.message = messages.number
ORDER BY attempts.rowid

-- name: group_dead_letters
-- Counts from the index alone and reads only the newest row of each group.
WITH kinds AS MATERIALIZED (
    SELECT fingerprint, count(*) AS messages, min(completed_at) AS first, max(completed_at) AS last
    FROM messages INDEXED BY messages_failed_by_kind
    WHERE tenant = :tenant AND state = 'failed'
    GROUP BY fingerprint ORDER BY last DESC, fingerprint LIMIT :limit
)
SELECT kinds.fingerprint, kinds.messages, newest.error, newest.error_code, kinds.first, kinds.last
FROM kinds JOIN messages AS newest ON newest.number = (
    SELECT number FROM messages INDEXED BY messages_failed_by_kind
    WHERE tenant = :tenant AND fingerprint = kinds.fingerprint AND state = 'failed'
    ORDER BY completed_at DESC, number DESC LIMIT 1
)
ORDER BY kinds.last DESC, kinds.fingerprint

-- name: throughput
-- Reads at most 20 times the limit. If few of the newest messages completed, the mean is of these few.
SELECT
    (SELECT paused FROM queue),
    (SELECT json_group_array(json_array(slots, agents)) FROM workers WHERE state = 'active'),
    (SELECT count(*) FROM workers WHERE state <> 'active'),
    (SELECT coalesce(sum(messages), 0) FROM tallies WHERE state = 'processing'),
    (SELECT avg(completed_at - started_at) FROM (
        SELECT completed_at, started_at FROM (
            SELECT completed_at, started_at, state FROM messages WHERE completed_at IS NOT NULL
            ORDER BY completed_at DESC LIMIT 20 * :limit
        ) WHERE state = 'completed' LIMIT :limit
    ))

-- name: count_running_by_agents
SELECT workers.agents, count(*) FROM messages JOIN workers ON workers.id = messages.worker_id
WHERE messages.state = 'processing' AND workers.state = 'active' GROUP BY workers.agents

-- name: claim_state
-- Whether claims wait, and whether a tenant has a limit of running messages in its record.
SELECT paused, EXISTS (SELECT 1 FROM tenants INDEXED BY tenants_limited WHERE running > 0) FROM queue

-- name: record_pause
INSERT INTO transitions (at, tenant, type, message_id, agent, priority)
SELECT :now, '', CASE WHEN :paused THEN 'queue.paused' ELSE 'queue.resumed' END, '', '', '' FROM queue
WHERE paused <> :paused

-- name: pause
UPDATE queue SET paused = :paused

-- name: list_queued
-- `+` keeps the planner from the index of all messages of the tenant, few of which wait.
SELECT {listed_columns} FROM messages
WHERE rank IS NOT NULL AND +tenant = :tenant
ORDER BY rank, number LIMIT :limit

-- name: list_delayed
SELECT {listed_columns} FROM messages
WHERE readiness = 'delayed' AND +tenant = :tenant
ORDER BY run_at, number LIMIT :limit

-- name: list_processing
SELECT {listed_columns} FROM messages
WHERE state = 'processing' AND +tenant = :tenant
ORDER BY changed_at, number LIMIT :limit

-- name: tallies
SELECT state, priority, messages FROM tallies WHERE tenant = :tenant

-- name: count_states
-- The messages of all tenants by state.
SELECT state, sum(messages) FROM tallies GROUP BY state

-- name: count_waiting
-- The waiting messages of all tenants by level.
SELECT level, waiting FROM levels

-- name: first_waiting
-- The first waiting message of a level.
SELECT accepted_at, run_at FROM messages
WHERE rank >= :rank AND rank < :rank + 1000000000000000 ORDER BY rank, number LIMIT 1

-- name: chosen_thread
-- :ids is a JSON array; :metadata is that of `wanted_thread_metadata`.
{visible_thread} AND (:status IS NULL OR status = :status)
AND (:ids IS NULL OR thread_id IN (SELECT value FROM json_each(:ids)))
AND (:metadata IS NULL OR NOT EXISTS (
    SELECT 1 FROM json_each(:metadata) AS wanted WHERE NOT EXISTS (
        SELECT 1 FROM json_each(coalesce(threads.metadata, '{}')) AS kept
        JOIN json_each(wanted.value, '$[1]') AS form ON form.value = kept.value
        WHERE kept.key = wanted.value ->> '$[0]'
    )
))

-- name: listed_threads
-- The threads of a list, each with whether it matches the filter. The reader leaves out those that do not.
SELECT {thread_columns}, {chosen_thread} FROM threads

-- name: threads_of_tenant
WHERE tenant = :tenant AND hidden IS NULL

-- name: list_threads_by_updated_desc
{listed_threads} INDEXED BY threads_by_activity
{threads_of_tenant} AND (last_activity, thread_id) < (:time, :thread_id)
ORDER BY last_activity DESC, thread_id DESC LIMIT :window

-- name: list_threads_by_updated_asc
{listed_threads} INDEXED BY threads_by_activity
{threads_of_tenant} AND (last_activity, thread_id) > (:time, :thread_id)
ORDER BY last_activity ASC, thread_id ASC LIMIT :window

-- name: list_threads_by_created_desc
{listed_threads} INDEXED BY threads_by_creation
{threads_of_tenant} AND (created_at, thread_id) < (:time, :thread_id)
ORDER BY created_at DESC, thread_id DESC LIMIT :window

-- name: list_threads_by_created_asc
{listed_threads} INDEXED BY threads_by_creation
{threads_of_tenant} AND (created_at, thread_id) > (:time, :thread_id)
ORDER BY created_at ASC, thread_id ASC LIMIT :window

-- name: list_threads_of_subject_by_updated_desc
{listed_threads} INDEXED BY threads_of_subject
{threads_of_tenant} AND subject = :subject AND (last_activity, thread_id) < (:time, :thread_id)
ORDER BY last_activity DESC, thread_id DESC LIMIT :window

-- name: list_threads_of_subject_by_updated_asc
{listed_threads} INDEXED BY threads_of_subject
{threads_of_tenant} AND subject = :subject AND (last_activity, thread_id) > (:time, :thread_id)
ORDER BY last_activity ASC, thread_id ASC LIMIT :window

-- name: list_threads_of_subject_by_created_desc
{listed_threads} INDEXED BY threads_of_subject
{threads_of_tenant} AND subject = :subject AND (created_at, thread_id) < (:time, :thread_id)
ORDER BY created_at DESC, thread_id DESC LIMIT :window

-- name: list_threads_of_subject_by_created_asc
{listed_threads} INDEXED BY threads_of_subject
{threads_of_tenant} AND subject = :subject AND (created_at, thread_id) > (:time, :thread_id)
ORDER BY created_at ASC, thread_id ASC LIMIT :window

-- name: list_threads_of_status_by_updated_desc
{listed_threads} INDEXED BY threads_by_status
{threads_of_tenant} AND status = :status AND status <> 'idle' AND (last_activity, thread_id) < (:time, :thread_id)
ORDER BY last_activity DESC, thread_id DESC LIMIT :window

-- name: list_threads_of_status_by_updated_asc
{listed_threads} INDEXED BY threads_by_status
{threads_of_tenant} AND status = :status AND status <> 'idle' AND (last_activity, thread_id) > (:time, :thread_id)
ORDER BY last_activity ASC, thread_id ASC LIMIT :window

-- name: list_threads_of_status_by_created_desc
{listed_threads} INDEXED BY threads_by_status
{threads_of_tenant} AND status = :status AND status <> 'idle' AND (created_at, thread_id) < (:time, :thread_id)
ORDER BY created_at DESC, thread_id DESC LIMIT :window

-- name: list_threads_of_status_by_created_asc
{listed_threads} INDEXED BY threads_by_status
{threads_of_tenant} AND status = :status AND status <> 'idle' AND (created_at, thread_id) > (:time, :thread_id)
ORDER BY created_at ASC, thread_id ASC LIMIT :window

-- name: list_threads_of_ids
{listed_threads} {threads_of_tenant} AND thread_id IN (SELECT value FROM json_each(:ids))

-- name: count_threads
SELECT sum(matches), count(*), max(thread_id) FROM (
    SELECT thread_id, {chosen_thread} AS matches FROM threads
    {threads_of_tenant} AND thread_id > :after ORDER BY thread_id LIMIT :window
)

-- name: count_threads_of_subject
SELECT count(*) FROM threads INDEXED BY threads_of_subject {threads_of_tenant} AND subject = :subject AND {chosen_thread}

-- name: count_threads_of_status
SELECT count(*) FROM threads INDEXED BY threads_by_status
{threads_of_tenant} AND status = :status AND status <> 'idle' AND {chosen_thread}

-- name: count_threads_of_ids
SELECT count(*) FROM threads {threads_of_tenant} AND thread_id IN (SELECT value FROM json_each(:ids)) AND {chosen_thread}

-- name: get_thread
SELECT {thread_columns} FROM threads WHERE tenant = :tenant AND thread_id = :thread_id AND hidden IS NULL

-- name: thread_columns
thread_id, last_number, created_at, last_activity, last_message_preview, name, metadata, forked_from, subject, ttl_ms, last_ended,
queued, processing, completed, failed, cancelled, interrupted

-- name: find_subject
SELECT subject FROM threads WHERE tenant = :tenant AND thread_id = :thread_id AND hidden IS NULL

-- name: find_head
-- The number, the fence, the state and the ids to roll back.
SELECT number, fence, state, rollback FROM {head}

-- name: find_thread_metadata
SELECT metadata FROM threads WHERE tenant = :tenant AND thread_id = :thread_id AND hidden IS NULL

-- name: change_thread
UPDATE threads SET
    name = CASE WHEN :renames THEN :name ELSE name END, metadata = :metadata,
    ttl_ms = CASE WHEN :sets_ttl THEN :ttl_ms ELSE ttl_ms END
WHERE tenant = :tenant AND thread_id = :thread_id

-- name: cancel_thread
-- The triggers keep the totals.
UPDATE messages SET
    state = 'cancelled', readiness = NULL, rank = NULL, interrupt_expires_at = NULL, changed_at = :now, completed_at = :now
WHERE number IN (SELECT value FROM json_each(:numbers))
RETURNING id

-- name: note_deleted
-- Older messages have no request keys any more.
INSERT INTO deleted_messages (id, deleted_at)
SELECT id, :now FROM messages WHERE tenant = :tenant AND thread_id = :thread_id AND created_at > :after

-- name: delete_thread_messages
DELETE FROM messages WHERE tenant = :tenant AND thread_id = :thread_id

-- name: record_thread
INSERT INTO transitions (at, tenant, type, message_id, thread_id, agent, priority)
VALUES (:now, :tenant, 'thread.deleted', '', :thread_id, '', '')

-- name: hide_thread
-- Only the name of its memory is left of a hidden thread.
UPDATE threads SET
    hidden = 'deleted', last_message_preview = '', name = NULL, metadata = NULL, forked_from = NULL, subject = NULL,
    ttl_ms = NULL
WHERE tenant = :tenant AND thread_id = :thread_id

-- name: create_thread
INSERT INTO threads (
    tenant, thread_id, subject, last_number, created_at, last_activity, last_message_preview, name, metadata, ttl_ms
)
VALUES (:tenant, :thread_id, :subject, 0, :now, :now, '', :name, :metadata, :ttl_ms)
ON CONFLICT DO NOTHING
RETURNING 1

-- name: draft_thread
INSERT INTO threads (tenant, thread_id, last_number, created_at, last_activity, last_message_preview, hidden)
VALUES (:tenant, :thread_id, 0, :now, :now, '', 'draft')
ON CONFLICT DO NOTHING
RETURNING 1

-- name: find_expired_threads
-- Threads with a TTL of their own, then others by the server's, :default_ttl, NULL for none. Unfinished threads stay.
WITH RECURSIVE owners (owner) AS (
    SELECT (SELECT min(tenant) FROM threads INDEXED BY threads_by_activity WHERE :default_ttl IS NOT NULL)
    UNION ALL
    SELECT (SELECT min(tenant) FROM threads INDEXED BY threads_by_activity WHERE tenant > owner)
    FROM owners WHERE owner IS NOT NULL
)
SELECT tenant, thread_id FROM threads INDEXED BY threads_with_ttl
WHERE ttl_ms IS NOT NULL AND last_activity + ttl_ms <= :now AND queued + processing + interrupted = 0 AND hidden IS NULL
UNION ALL
SELECT tenant, thread_id FROM owners CROSS JOIN threads INDEXED BY threads_by_activity
WHERE tenant = owner AND last_activity <= :now - :default_ttl AND ttl_ms IS NULL
    AND queued + processing + interrupted = 0 AND hidden IS NULL
LIMIT :limit

-- name: publish_thread
UPDATE threads SET
    hidden = NULL, name = :name, metadata = :metadata, forked_from = :forked_from, subject = :subject, last_activity = :now
WHERE tenant = :tenant AND thread_id = :thread_id AND hidden = 'draft'
RETURNING 1

-- name: abandon_draft
UPDATE threads SET hidden = 'deleted' WHERE tenant = :tenant AND thread_id = :thread_id AND hidden = 'draft'
RETURNING tenant, thread_id

-- name: abandon_old_drafts
UPDATE threads SET hidden = 'deleted' WHERE hidden = 'draft' AND created_at < :before
RETURNING tenant, thread_id

-- name: list_thread_messages
SELECT {listed_columns} FROM messages
WHERE tenant = :tenant AND thread_id = :thread_id AND thread_number > :after AND {visible_agent}
ORDER BY thread_number LIMIT :limit

-- name: find_ready
SELECT rank, number FROM messages WHERE readiness = 'ready' AND agent = :agent AND agent_version = :version
ORDER BY rank, number LIMIT :limit

-- name: find_ready_of_tenants
SELECT rank, number, tenant FROM messages WHERE readiness = 'ready' AND agent = :agent AND agent_version = :version
ORDER BY rank, number LIMIT :limit

-- name: find_room
-- How many more messages these tenants may run. Tenants without a limit have no row. :tenants is a JSON array.
SELECT tenant, most - (
    SELECT count(*) FROM messages INDEXED BY messages_leased
    WHERE messages.tenant = limited.tenant AND state = 'processing'
) FROM (
    SELECT value AS tenant, coalesce((SELECT running FROM tenants WHERE tenants.tenant = value), :most) AS most
    FROM json_each(:tenants)
) AS limited WHERE most > 0

-- name: hold_back
UPDATE messages SET readiness = 'held' WHERE number IN (SELECT value FROM json_each(:numbers))

-- name: any_held
SELECT EXISTS (SELECT 1 FROM messages INDEXED BY messages_held WHERE readiness = 'held')

-- name: list_held
-- The agents and versions of held messages of a tenant. Seeks each of them in an index with one entry for each message.
WITH RECURSIVE agents (agent) AS (
    SELECT min(agent) FROM messages WHERE readiness = 'held' AND tenant = :tenant
    UNION ALL
    SELECT (
        SELECT min(messages.agent) FROM messages
        WHERE readiness = 'held' AND tenant = :tenant AND messages.agent > agents.agent
    )
    FROM agents WHERE agent IS NOT NULL
), versions (agent, version) AS (
    SELECT agent, (
        SELECT min(agent_version) FROM messages
        WHERE readiness = 'held' AND tenant = :tenant AND messages.agent = agents.agent
    )
    FROM agents WHERE agent IS NOT NULL
    UNION ALL
    SELECT agent, (
        SELECT min(agent_version) FROM messages
        WHERE readiness = 'held' AND tenant = :tenant AND messages.agent = versions.agent
            AND agent_version > versions.version
    )
    FROM versions WHERE version IS NOT NULL
)
SELECT agent, version FROM versions WHERE version IS NOT NULL

-- name: release_held
-- Makes the first held messages of a tenant ready, of one agent and version.
UPDATE messages SET readiness = 'ready' WHERE number IN (
    SELECT number FROM messages
    WHERE readiness = 'held' AND tenant = :tenant AND agent = :agent AND agent_version = :version
    ORDER BY rank, number LIMIT :limit
)

-- name: list_holding_tenants
-- The tenants with held messages. Seeks each of them.
WITH RECURSIVE holding (tenant) AS (
    SELECT min(tenant) FROM messages WHERE readiness = 'held'
    UNION ALL
    SELECT (SELECT min(messages.tenant) FROM messages WHERE readiness = 'held' AND messages.tenant > holding.tenant)
    FROM holding WHERE tenant IS NOT NULL
)
SELECT tenant FROM holding WHERE tenant IS NOT NULL

-- name: claimed
state = 'processing', readiness = NULL, rank = NULL, attempt = attempt + 1, fence = fence + 1, worker_id = :worker_id,
lease_until = :lease_until, started_at = coalesce(started_at, :now), changed_at = :now

-- name: claim
UPDATE messages SET {claimed} WHERE number = :number AND readiness = 'ready'
RETURNING {message_columns}, {last_of_log}

-- name: claim_first
-- Like `claim`, for a message that gets the worker's version of the agent.
UPDATE messages SET {claimed}, agent_version = :version WHERE number = :number AND readiness = 'ready'
RETURNING {message_columns}, {last_of_log}

-- name: find_leased
-- Guards every write of an attempt: this row must exist in the same transaction.
SELECT number, cancel_requested, {last_of_log} FROM messages
WHERE id = :id AND fence = :fence AND state = 'processing'

-- name: find_ended
SELECT 1 FROM messages WHERE id = :id AND fence = :fence AND completed_at IS NOT NULL

-- name: last_of_log
-- Read with the message: an INSERT that reads the table it writes to takes twice as long.
(SELECT coalesce(max(events.id), 0) FROM events WHERE events.message = messages.number)

-- name: ended
state = :state, readiness = NULL, rank = NULL, result = :result, output = :output, error = :error,
error_code = :error_code, fingerprint = :fingerprint, interrupt = NULL, interrupt_expires_at = NULL,
resume_value = NULL,
cancel_requested = 0, fence = fence + :fence_step, crashes = crashes + :crashed, worker_id = NULL,
lease_until = NULL, changed_at = :now, completed_at = :now

-- name: event_columns
-- The values for the event and the delivery of a new state.
number, id, tenant, thread_id, webhook_url, webhook_events, receivers, {last_of_log}

-- name: end_message
UPDATE messages SET {ended} WHERE number = :number
RETURNING {event_columns}

-- name: end_leased
-- find_leased and end_message together, for an attempt that is not cancelled.
UPDATE messages SET {ended} WHERE id = :id AND fence = :fence AND state = 'processing' AND cancel_requested = 0
RETURNING {event_columns}

-- name: put_back
-- Puts a message back as the head of its thread, with the rank of the head.
UPDATE messages SET
    state = 'queued', readiness = CASE WHEN :run_at <= :now THEN 'ready' ELSE 'delayed' END,
    run_at = CASE WHEN :run_at <= :now THEN 0 ELSE :run_at END,
    rank = CASE WHEN :run_at <= :now THEN {rank_of_head} END,
    attempt = attempt - :refunded, crashes = crashes + :crashed, fence = fence + 1, worker_id = NULL,
    lease_until = NULL, changed_at = :now
WHERE number = :number
RETURNING tenant

-- name: interrupt_message
UPDATE messages SET
    state = 'interrupted', interrupt = :interrupts, interrupt_expires_at = :expires_at, resume_value = NULL,
    fence = fence + 1, worker_id = NULL, lease_until = NULL, changed_at = :now
WHERE number = :number
RETURNING {event_columns}

-- name: resume_message
-- The attempt that asked is not counted: the attempt with the answer gets the same number.
UPDATE messages SET
    state = 'queued', readiness = 'ready', run_at = 0, rank = {rank_of_head}, resume_value = :value,
    attempt = max(attempt - 1, 0), interrupt_expires_at = NULL, changed_at = :now
WHERE number = :number

-- name: find_expired_interrupts
SELECT number FROM messages WHERE state = 'interrupted' AND interrupt_expires_at <= :now
ORDER BY interrupt_expires_at LIMIT :limit

-- name: request_cancel
UPDATE messages SET cancel_requested = 1 WHERE number = :number

-- name: note_attempt
INSERT INTO attempts (message, attempt, worker_id, started_at, ended_at, error, error_code, details)
SELECT number, attempt, worker_id, changed_at, :now, :error, :error_code, :details FROM messages WHERE number = :number

-- name: next_numbers
-- Reserves :count numbers of AUTOINCREMENT and returns the last.
UPDATE sqlite_sequence SET seq = seq + :count WHERE name = 'messages' RETURNING seq

-- name: find_dead
-- The columns that requeue and purge need, in any state. :ids is a JSON array.
SELECT id, number, state, thread_id, attempt, fence, (SELECT max(id) FROM events WHERE message = number)
FROM messages WHERE id IN (SELECT value FROM json_each(:ids)) AND +tenant = :tenant

-- name: drop_logs
INSERT INTO dropped_logs (message) SELECT value FROM json_each(:numbers)

-- name: delete_dropped_events
DELETE FROM events WHERE (message, id) IN (
    SELECT events.message, events.id FROM dropped_logs CROSS JOIN events ON events.message = dropped_logs.message
    LIMIT :limit
)

-- name: forget_dropped_logs
DELETE FROM dropped_logs

-- name: renumber_attempts
UPDATE attempts SET message = :new_number WHERE message = :number

-- name: requeue
UPDATE messages SET
    number = :new_number, thread_number = :thread_number, state = 'queued', readiness = :readiness, run_at = 0,
    base_rank = :base_rank, flow = :flow, rank = :rank, attempt = 0, crashes = 0, fence = fence + 1, accepted_at = :now,
    changed_at = :now, started_at = NULL, completed_at = NULL, error = NULL, error_code = NULL, fingerprint = NULL, log_pruned = 0,
    agent_version = ''
WHERE number = :number

-- name: record_change
-- A change of a message that leaves its state.
INSERT INTO transitions (at, tenant, type, message_id, thread_id, agent, priority, before)
SELECT :now, tenant, :type, id, thread_id, agent, priority, state FROM messages WHERE number = :number

-- name: delete_message
DELETE FROM messages WHERE number = :number

-- name: reprioritize
UPDATE messages SET priority = :priority, base_rank = :rank WHERE number = :number

-- name: rank_of_next
-- The first rank among the messages of a flow that were accepted after message :number and wait; NULL if there is none.
-- Messages with ranks below :first have had their turn.
SELECT base_rank FROM messages INDEXED BY messages_of_flow
WHERE tenant = :tenant AND flow = :flow AND base_rank >= :first AND base_rank < :end AND number > :number AND state = 'queued'
ORDER BY base_rank LIMIT 1

-- name: claimed_rank
SELECT rank FROM claimed_ranks WHERE level = :level

-- name: ready_again
-- A held message that gets another rank is ready again, since it may now be the first of its tenant.
CASE readiness WHEN 'held' THEN 'ready' ELSE readiness END

-- name: rerank
UPDATE messages SET rank = base_rank, readiness = {ready_again} WHERE number = :number AND rank IS NOT NULL

-- name: place_in_flow
SELECT base_rank, flow FROM messages WHERE number = :number

-- name: find_expired
-- Walks the index of running messages, which are as many as there are slots.
SELECT number, id, attempt, crashes, cancel_requested FROM messages INDEXED BY messages_leased
WHERE state = 'processing' AND (lease_until IS NULL OR lease_until <= :now)
LIMIT :limit

-- name: extend_leases
-- An expired lease is not revived: the rescue takes it. :leases is a JSON object of fences by message id.
-- `+` keeps the planner from walking all leases for each of them.
UPDATE messages SET lease_until = :lease_until
FROM json_each(:leases) AS named
WHERE messages.id = named.key AND messages.fence = named.value AND state = 'processing' AND worker_id = :worker_id
    AND +lease_until > :now
RETURNING messages.id, messages.fence, cancel_requested

-- name: beat_worker
-- A worker that was not asked to drain stays active, whatever it says.
INSERT INTO workers (id, host, pid, slots, agents, load, started_at, last_beat, clock_ahead_ms, state)
VALUES (:id, :host, :pid, :slots, :agents, :load, :now, :now, :clock_ahead_ms, :state)
ON CONFLICT (id) DO UPDATE SET slots = excluded.slots, agents = excluded.agents, load = excluded.load,
    last_beat = excluded.last_beat, clock_ahead_ms = excluded.clock_ahead_ms,
    state = CASE WHEN workers.state = 'draining' AND excluded.state = 'drained' THEN 'drained' ELSE workers.state END
RETURNING state

-- name: find_worker
SELECT state FROM workers WHERE id = :id

-- name: drain_worker
UPDATE workers SET state = :state WHERE id = :id

-- name: record_draining
INSERT INTO transitions (at, tenant, type, message_id, agent, priority, worker_id) VALUES (:now, '', :type, '', '', '', :id)

-- name: record_leaving
INSERT INTO transitions (at, tenant, type, message_id, agent, priority, worker_id)
SELECT :now, '', 'worker.left', '', '', '', id FROM workers WHERE id = :id

-- name: remove_worker
DELETE FROM workers WHERE id = :id

-- name: record_lost_workers
INSERT INTO transitions (at, tenant, type, message_id, agent, priority, worker_id)
SELECT :now, '', 'worker.lost', '', '', '', id FROM workers WHERE last_beat < :before

-- name: prune_workers
DELETE FROM workers WHERE last_beat < :before RETURNING id

-- name: describe_agent
INSERT INTO agents (name, description, described_at) VALUES (:name, :description, :now)
ON CONFLICT (name) DO UPDATE SET description = excluded.description, described_at = excluded.described_at

-- name: record_removed_agents
INSERT INTO transitions (at, tenant, type, message_id, agent, priority)
SELECT :now, '', 'agent.removed', '', name, '' FROM agents WHERE described_at < :before

-- name: prune_agents
DELETE FROM agents WHERE described_at < :before RETURNING name

-- name: list_agents
SELECT description FROM agents ORDER BY name

-- name: see_version
INSERT INTO agent_versions (agent, version, first_seen, last_seen) VALUES (:agent, :version, :first_seen, :last_seen)
ON CONFLICT (agent, version) DO UPDATE SET
    first_seen = min(first_seen, excluded.first_seen), last_seen = excluded.last_seen
WHERE last_seen < excluded.last_seen

-- name: forget_versions
DELETE FROM agent_versions WHERE last_seen < :before

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
UPDATE messages SET agent_version = :after WHERE number IN (
    SELECT number FROM messages
    WHERE readiness = 'ready' AND agent = :agent AND agent_version = :before LIMIT :limit
)
RETURNING number, id, {last_of_log}

-- name: list_workers
SELECT id, host, pid, slots, started_at, last_beat, clock_ahead_ms, state, agents, load FROM workers ORDER BY started_at, id

-- name: last_event
SELECT coalesce(max(id), 0) FROM events WHERE message = :message

-- name: attempt_start
SELECT coalesce(max(id), 1) FROM events WHERE message = :message AND type = 'processing'

-- name: add_event
INSERT INTO events (message, id, type, data, created_at) VALUES (:message, :id, :type, :data, :now)

-- name: find_log
SELECT number, state FROM messages WHERE id = :id AND tenant = :tenant

-- name: log_bounds
-- Two subqueries: SQLite seeks for one minimum or maximum, but walks the whole log for both in one query.
SELECT
    coalesce((SELECT min(id) FROM events WHERE message = :message), 0),
    coalesce((SELECT max(id) FROM events WHERE message = :message), 0)

-- name: read_events
SELECT id, type, data, created_at FROM events WHERE message = :message AND id > :after ORDER BY id LIMIT :limit

-- name: owners_of_ended
SELECT DISTINCT tenant AS owner FROM tallies WHERE state IN ('completed', 'failed', 'cancelled') AND messages > 0

-- name: days_kept
coalesce((SELECT retention_days * 86400000 FROM tenants WHERE tenants.tenant = owner), :age)

-- name: find_prunable_logs
SELECT number, id, tenant, thread_id
FROM ({owners_of_ended}) AS owners CROSS JOIN messages INDEXED BY messages_by_end
WHERE tenant = owner AND log_pruned = 0 AND completed_at IS NOT NULL AND completed_at < :now - coalesce(
    (SELECT event_retention_hours * 3600000 FROM tenants WHERE tenants.tenant = owner), :age
)
LIMIT :limit

-- name: prune_log
-- Keeps the terminal event, so that a late reader learns how the message ended.
DELETE FROM events WHERE message = :message AND id < (SELECT max(id) FROM events WHERE message = :message)

-- name: mark_pruned
UPDATE messages SET log_pruned = 1 WHERE number = :number

-- name: prune_messages
DELETE FROM messages WHERE number IN (
    SELECT number
    FROM ({owners_of_ended}) AS owners CROSS JOIN (SELECT 1 AS pruned UNION ALL SELECT 0)
    CROSS JOIN messages INDEXED BY messages_by_end
    WHERE tenant = owner AND log_pruned = pruned AND completed_at IS NOT NULL AND completed_at < :now - {days_kept}
    LIMIT :limit
)
RETURNING id, tenant, thread_id, log_pruned

-- name: prune_threads
WITH RECURSIVE owners (owner) AS (
    SELECT (
        SELECT min(tenant) FROM threads INDEXED BY threads_empty
        WHERE queued + processing + interrupted + completed + failed + cancelled = 0
    )
    UNION ALL
    SELECT (
        SELECT min(tenant) FROM threads INDEXED BY threads_empty
        WHERE queued + processing + interrupted + completed + failed + cancelled = 0 AND tenant > owner
    )
    FROM owners WHERE owner IS NOT NULL
)
DELETE FROM threads WHERE (tenant, thread_id) IN (
    SELECT tenant, thread_id FROM owners CROSS JOIN threads INDEXED BY threads_empty
    WHERE tenant = owner AND last_activity < :now - {days_kept}
        AND queued + processing + interrupted + completed + failed + cancelled = 0 AND hidden IS NULL
    LIMIT :limit
)
RETURNING tenant, thread_id

-- name: drop_memory
INSERT OR IGNORE INTO dropped_memories (tenant, thread_id, message_id) VALUES (:tenant, :thread_id, :message_id)

-- name: list_dropped_memories
SELECT tenant, thread_id, message_id FROM dropped_memories
WHERE CASE thread_id
    WHEN '' THEN NOT EXISTS (
        SELECT 1 FROM messages WHERE messages.id = dropped_memories.message_id AND messages.log_pruned = 0
    )
    ELSE NOT EXISTS (
        SELECT 1 FROM threads
        WHERE threads.tenant = dropped_memories.tenant AND threads.thread_id = dropped_memories.thread_id
            AND hidden IS NOT 'deleted'
    )
END
LIMIT :limit

-- name: free_thread
DELETE FROM threads WHERE tenant = :tenant AND thread_id = :thread_id AND hidden = 'deleted'

-- name: settle_dropped_memory
DELETE FROM dropped_memories WHERE tenant = :tenant AND thread_id = :thread_id AND message_id = :message_id

-- name: add_hint
INSERT INTO hints (process, topics) VALUES (:process, :topics)

-- name: read_hints
SELECT number, process, topics FROM hints WHERE number > :after ORDER BY number

-- name: last_hint
SELECT coalesce(max(number), 0) FROM hints

-- name: prune_hints
DELETE FROM hints WHERE number <= :before

-- name: delivery_columns
{delivery_record_columns}, data

-- name: add_delivery
INSERT INTO deliveries (id, tenant, message_id, thread_id, url, event, receiver, data, state, created_at, next_at)
VALUES (:id, :tenant, :message_id, :thread_id, :url, :event, :receiver, :data, 'pending', :now, :now)

-- name: find_due_deliveries
SELECT id FROM deliveries WHERE state = 'pending' AND next_at <= :now ORDER BY next_at LIMIT :limit

-- name: claim_delivery
UPDATE deliveries SET tries = tries + 1, next_at = :until WHERE id = :id
RETURNING {delivery_columns}

-- name: sender_details
-- The alias is that of the newest answer. Aliases of the submit begin at 0.
SELECT api_keys.webhook_secret, messages.trace, messages.options, (
    SELECT alias FROM aliases
    WHERE message_id = messages.id AND tenant = messages.tenant AND first_event > 0 ORDER BY first_event DESC LIMIT 1
), named.value
FROM messages
LEFT JOIN json_each(messages.receivers) AS named ON named.value ->> 'key' = :receiver
LEFT JOIN api_keys
    ON api_keys.id = CASE WHEN :receiver IS NULL THEN messages.webhook_key ELSE named.value ->> 'signing_key' END
WHERE messages.id = :message_id

-- name: receivers_of
SELECT receivers FROM messages WHERE id = :id AND tenant = :tenant

-- name: set_receivers
UPDATE messages SET receivers = :receivers WHERE id = :id

-- name: keep_trace
UPDATE messages SET trace = :trace WHERE id = :id AND fence = :fence

-- name: settle_delivery
UPDATE deliveries SET
    state = :state, next_at = :next_at, attempts = json_insert(attempts, '$[#]', json(:attempt))
WHERE id = :id AND tries = :tries AND next_at = :claimed_until AND state = 'pending'
RETURNING 1

-- name: list_deliveries
SELECT {delivery_columns} FROM deliveries WHERE message_id = :message_id AND tenant = :tenant ORDER BY created_at, id

-- name: find_deliveries
-- Reads the newest of each state and event from its own range of the index. A filter then skips no rows.
SELECT {delivery_record_columns} FROM deliveries WHERE id IN (
    SELECT kind.id FROM json_each(:states) AS named_state CROSS JOIN json_each(:events) AS named_event
    CROSS JOIN deliveries AS kind
    WHERE kind.id IN (
        SELECT newest.id FROM deliveries AS newest
        WHERE newest.tenant = :tenant AND newest.state = named_state.value AND newest.event = named_event.value
            AND (newest.created_at, newest.id) < (:created_at, :id)
        ORDER BY newest.created_at DESC, newest.id DESC LIMIT :limit
    )
    ORDER BY kind.created_at DESC, kind.id DESC LIMIT :limit
)
ORDER BY created_at DESC, id DESC

-- name: find_deliveries_of_message
SELECT {delivery_record_columns} FROM deliveries
WHERE message_id = :message_id AND tenant = :tenant AND (created_at, id) < (:created_at, :id)
    AND state IN (SELECT value FROM json_each(:states)) AND event IN (SELECT value FROM json_each(:events))
ORDER BY created_at DESC, id DESC LIMIT :limit

-- name: replay_delivery
UPDATE deliveries SET state = 'pending', tries = 0, next_at = :now WHERE id = :id AND tenant = :tenant
RETURNING {delivery_columns}

-- name: clock_state
SELECT epoch, correction, since, seen, boot, ahead, noted FROM clock

-- name: keep_clock_state
UPDATE clock SET epoch = :epoch, correction = :correction, since = :since, seen = :seen, boot = :boot, ahead = :ahead,
    noted = :noted

-- name: find_fence
SELECT fence FROM messages WHERE id = :id AND state NOT IN ('failed', 'cancelled')

-- name: lives
(expires_at IS NULL OR expires_at > :now)

-- name: get_item
SELECT namespace, key, value, created_at, updated_at, ttl_ms FROM items
WHERE tenant = :tenant AND namespace = :namespace AND key = :key AND {lives}

-- name: put_item
INSERT INTO items (tenant, namespace, key, created_at, updated_at, expires_at, ttl_ms, value)
VALUES (:tenant, :namespace, :key, :now, :now, :expires_at, :ttl_ms, :value)
ON CONFLICT (tenant, namespace, key) DO UPDATE SET
    created_at = CASE WHEN {lives} THEN created_at ELSE excluded.created_at END,
    updated_at = excluded.updated_at, expires_at = excluded.expires_at, ttl_ms = excluded.ttl_ms, value = excluded.value

-- name: delete_item
DELETE FROM items WHERE tenant = :tenant AND namespace = :namespace AND key = :key

-- name: refresh_item
UPDATE items SET expires_at = :now + ttl_ms
WHERE tenant = :tenant AND namespace = :namespace AND key = :key AND ttl_ms IS NOT NULL AND {lives}

-- name: prune_items
DELETE FROM items WHERE (tenant, namespace, key) IN (
    SELECT tenant, namespace, key FROM items WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit
)

-- name: search_items
SELECT namespace, key, octet_length(value) FROM (
    SELECT namespace, key, updated_at FROM items
    WHERE tenant = :tenant AND namespace >= :begin AND namespace < :end AND {lives}
    ORDER BY updated_at DESC, namespace, key LIMIT :limit OFFSET :offset
) AS page CROSS JOIN items USING (namespace, key)
WHERE tenant = :tenant
ORDER BY page.updated_at DESC, namespace, key

-- name: search_filtered_items
SELECT namespace, key, octet_length(value) FROM items
WHERE tenant = :tenant AND namespace >= :begin AND namespace < :end AND {lives} AND {meets_filter}
ORDER BY updated_at DESC, namespace, key LIMIT :limit OFFSET :offset

-- name: meets_filter
-- No group may differ from what it wants. :filter is made by `app.store.sql.items`, its terms are those of `Condition`.
NOT EXISTS (
    SELECT 1 FROM json_each(:filter) AS part
    WHERE (part.value ->> 'negated') = NOT EXISTS (
        SELECT 1 FROM json_each(part.value, '$.conditions') AS condition
        WHERE NOT coalesce({condition_holds}, 0)
    )
)

-- name: condition_path
condition.value ->> 'json_path'

-- name: condition_holds
CASE condition.value ->> 'kind'
    WHEN 'absent' THEN coalesce(json_type(items.value, {condition_path}), 'null') = 'null'
    WHEN 'object_of' THEN json_type(items.value, {condition_path}) = 'object'
        AND (SELECT count(*) FROM json_each(items.value, {condition_path})) = condition.value ->> 'number'
    WHEN 'list_of' THEN json_type(items.value, {condition_path}) = 'array'
        AND json_array_length(items.value, {condition_path}) = condition.value ->> 'number'
    WHEN 'number' THEN json_type(items.value, {condition_path}) IN ('integer', 'real')
        AND CASE condition.value ->> 'operator'
            WHEN '=' THEN {found_number} = {wanted_number}
            WHEN '<' THEN {found_number} < {wanted_number}
            WHEN '<=' THEN {found_number} <= {wanted_number}
            WHEN '>' THEN {found_number} > {wanted_number}
            ELSE {found_number} >= {wanted_number}
        END
    WHEN 'text' THEN json_type(items.value, {condition_path}) = 'text'
        AND CASE condition.value ->> 'operator'
            WHEN '=' THEN {found_text} = {wanted_text}
            WHEN '<' THEN {found_text} < {wanted_text}
            WHEN '<=' THEN {found_text} <= {wanted_text}
            WHEN '>' THEN {found_text} > {wanted_text}
            ELSE {found_text} >= {wanted_text}
        END
    ELSE json_type(items.value, {condition_path}) = condition.value ->> 'kind'
END

-- name: found_number
CAST(json_extract(items.value, {condition_path}) AS REAL)

-- name: wanted_number
CAST(condition.value ->> 'number' AS REAL)

-- name: found_text
json_extract(items.value, {condition_path})

-- name: wanted_text
(condition.value ->> 'text')

-- name: list_namespaces
-- Each step finds the next namespace by the key of the table, however many items are in between.
WITH RECURSIVE found (namespace) AS (
    SELECT min(namespace) FROM items
    WHERE tenant = :tenant AND namespace >= :begin AND namespace < :end AND {lives}
    UNION ALL
    SELECT (
        SELECT min(items.namespace) FROM items
        WHERE tenant = :tenant AND items.namespace > found.namespace AND items.namespace < :end AND {lives}
    ) FROM found WHERE found.namespace IS NOT NULL
    LIMIT :limit + 1
)
SELECT namespace FROM found WHERE namespace IS NOT NULL LIMIT :limit

-- name: add_key
INSERT INTO api_keys (
    id, tenant, name, scopes, created_at, expires_at, secret_hash, webhook_url, signs_webhooks, webhook_secret,
    limits, quotas
) VALUES (
    :id, :tenant, :name, :scopes, :now, :expires_at, :secret_hash, :webhook_url, :webhook_secret IS NOT NULL, :webhook_secret,
    :limits, :quotas
) RETURNING {key_columns}

-- name: get_key
SELECT {key_columns} FROM api_keys WHERE id = :id AND {of_tenant}

-- name: of_tenant
(CAST(:tenant AS TEXT) IS NULL OR tenant = :tenant)

-- name: list_keys
SELECT {key_columns} FROM api_keys WHERE id > :after AND {of_tenant} ORDER BY id LIMIT :limit

-- name: rotate_key
UPDATE api_keys SET previous_hash = secret_hash, previous_until = :previous_until, secret_hash = :secret_hash
WHERE id = :id AND {of_tenant} AND revoked_at IS NULL RETURNING {key_columns}

-- name: change_key
UPDATE api_keys SET limits = :limits, quotas = :quotas
WHERE id = :id AND {of_tenant} AND revoked_at IS NULL AND limits = :expected_limits AND quotas = :expected_quotas
RETURNING {key_columns}

-- name: revoke_key
UPDATE api_keys SET revoked_at = :now
WHERE id = :id AND {of_tenant} AND revoked_at IS NULL RETURNING {key_columns}

-- name: use_key
UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, 0), :used_at) WHERE id = :id

-- name: raise_revision
UPDATE access SET revision = revision + 1

-- name: access_state
SELECT revision, EXISTS (SELECT 1 FROM api_keys WHERE revoked_at IS NULL) FROM access

-- name: get_tenant
SELECT {tenant_columns} FROM tenants WHERE tenant = :tenant

-- name: list_tenants
SELECT {tenant_columns} FROM tenants WHERE tenant > :after ORDER BY tenant LIMIT :limit

-- name: add_tenant
INSERT INTO tenants (
    tenant, weight, limits, quotas, subject_quotas, retention_days, event_retention_hours, revision, created_at, changed_at
)
SELECT
    :tenant, :weight, :limits, :quotas, :subject_quotas, :retention_days, :event_retention_hours,
    revision + 1, :now, :now
FROM access WHERE TRUE
ON CONFLICT (tenant) DO NOTHING RETURNING {tenant_columns}

-- name: change_tenant
UPDATE tenants SET
    weight = :weight, limits = :limits, quotas = :quotas, subject_quotas = :subject_quotas,
    retention_days = :retention_days, event_retention_hours = :event_retention_hours,
    revision = (SELECT access.revision + 1 FROM access), changed_at = :now
WHERE tenant = :tenant AND revision = :revision RETURNING {tenant_columns}

-- name: delete_tenant
DELETE FROM tenants WHERE tenant = :tenant RETURNING 1

-- name: add_signing_secret
INSERT INTO signing_secrets (id, secret, created_at)
SELECT :id, :secret, :now WHERE NOT EXISTS (
    SELECT 1 FROM signing_secrets WHERE created_at >= :older_than
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
SELECT :tenant, :subject, revision, :now FROM access WHERE TRUE
ON CONFLICT (tenant, subject) DO UPDATE SET revision = excluded.revision, ended_at = excluded.ended_at
RETURNING revision

-- name: forget_ends
DELETE FROM ended_tokens WHERE ended_at < :before

-- name: tokens_ended
SELECT coalesce(max(revision), 0) FROM ended_tokens
WHERE tenant = :tenant AND subject IN ('', :subject)

-- name: use_ticket
INSERT INTO used_tickets (id, used_at) VALUES (:id, :now) ON CONFLICT DO NOTHING RETURNING 1

-- name: forget_tickets
DELETE FROM used_tickets WHERE used_at < :before

-- name: add_audit
INSERT INTO audit (at, actor, key_id, address, action, tenant, targets, details)
VALUES (:now, :actor, :key_id, :address, :action, :tenant, :targets, :details)

-- name: audit_chosen
(CAST(:tenant AS TEXT) IS NULL OR tenant = :tenant)
AND (CAST(:actor AS TEXT) IS NULL OR actor = :actor)
AND (CAST(:action AS TEXT) IS NULL OR action = :action)
AND (CAST(:target AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM json_each(targets) WHERE value = :target))
AND (CAST(:since AS BIGINT) IS NULL OR at >= :since)
AND (CAST(:until AS BIGINT) IS NULL OR at < :until)

-- name: list_audit_newest
SELECT {audit_columns} FROM audit WHERE number < :after AND {audit_chosen} ORDER BY number DESC LIMIT :limit

-- name: list_audit_oldest
SELECT {audit_columns} FROM audit WHERE number > :after AND {audit_chosen} ORDER BY number LIMIT :limit

-- name: added_tokens
calls = calls + excluded.calls,
input_tokens = input_tokens + excluded.input_tokens,
output_tokens = output_tokens + excluded.output_tokens,
cached_tokens = cached_tokens + excluded.cached_tokens,
reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
cost_nanos = cost_nanos + excluded.cost_nanos,
unpriced_calls = unpriced_calls + excluded.unpriced_calls

-- name: add_message_usage
INSERT INTO message_usage (message_id, model, {token_columns})
VALUES (:message_id, :model, :calls, :input_tokens, :output_tokens, :cached_tokens, :reasoning_tokens, :cost_nanos,
    :unpriced_calls)
ON CONFLICT (message_id, model) DO UPDATE SET
    {added_tokens}

-- name: add_hourly_usage
INSERT INTO hourly_usage (tenant, hour, key, subject, agent, model, {token_columns})
SELECT tenant, :hour, coalesce(key_id, ''), coalesce(subject, ''), agent, :model, :calls, :input_tokens, :output_tokens,
    :cached_tokens, :reasoning_tokens, :cost_nanos, :unpriced_calls
FROM messages WHERE id = :message_id
ON CONFLICT (tenant, hour, key, subject, agent, model) DO UPDATE SET
    {added_tokens}

-- name: record_usage
INSERT INTO transitions (at, tenant, type, message_id, agent, priority, usage)
SELECT :at, tenant, 'usage', '', agent, priority, :usage FROM messages WHERE id = :message_id

-- name: message_usage
SELECT model, {token_columns} FROM message_usage
WHERE message_id = (SELECT id FROM messages WHERE id = :id AND tenant = :tenant)
ORDER BY model

-- name: usage_of_messages
SELECT message_id, model, {token_columns} FROM message_usage
WHERE message_id IN (SELECT id FROM messages WHERE id IN (SELECT value FROM json_each(:ids)) AND +tenant = :tenant)
ORDER BY message_id, model

-- name: usage_sums
SELECT hour, tenant, key, subject, agent, model, sum(calls),
    sum(input_tokens),
    sum(output_tokens),
    sum(cached_tokens),
    sum(reasoning_tokens),
    sum(cost_nanos),
    sum(unpriced_calls) FROM (
    SELECT
        CASE WHEN :by_hour THEN hour WHEN :by_day THEN hour / 24 * 24 ELSE 0 END AS hour,
        CASE WHEN :by_tenant THEN tenant ELSE '' END AS tenant,
        CASE WHEN :by_key THEN key ELSE '' END AS key,
        CASE WHEN :by_subject THEN subject ELSE '' END AS subject,
        CASE WHEN :by_agent THEN agent ELSE '' END AS agent,
        CASE WHEN :by_model THEN model ELSE '' END AS model,
        {token_columns}
    FROM hourly_usage

-- name: chosen_usage
    hour >= :begin AND hour < :end
        AND (:key IS NULL OR key = :key) AND (:subject IS NULL OR subject = :subject)
        AND (:agent IS NULL OR agent = :agent) AND (:model IS NULL OR model = :model)
) AS given
WHERE (hour, tenant, key, subject, agent, model) > (
    :after_hour, :after_tenant, :after_key, :after_subject, :after_agent, :after_model
)
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6 LIMIT :limit

-- name: list_usage
{usage_sums} WHERE {chosen_usage}

-- name: list_usage_of_tenant
{usage_sums} WHERE tenant = :tenant AND {chosen_usage}

-- name: prune_usage
DELETE FROM hourly_usage WHERE (tenant, hour, key, subject, agent, model) IN (
    SELECT tenant, hour, key, subject, agent, model FROM hourly_usage WHERE hour < :before ORDER BY hour LIMIT :limit
)

-- name: unused_bytes
-- Pages of the file that are free. `agentq compact` gives them back.
SELECT freelist_count * page_size FROM pragma_freelist_count CROSS JOIN pragma_page_size

-- name: list_stored_tenants
-- Each step seeks the next tenant in three tables, however many rows are in between. char(1114111) is above all names.
WITH RECURSIVE found (tenant) AS (
    SELECT :after
    UNION ALL
    SELECT nullif(min(
        coalesce((SELECT min(threads.tenant) FROM threads WHERE threads.tenant > found.tenant), char(1114111)),
        coalesce((SELECT min(messages.tenant) FROM messages WHERE messages.tenant > found.tenant), char(1114111)),
        coalesce((SELECT min(items.tenant) FROM items WHERE items.tenant > found.tenant), char(1114111))
    ), char(1114111))
    FROM found WHERE found.tenant IS NOT NULL
    LIMIT :limit + 1
)
SELECT tenant FROM found WHERE tenant IS NOT NULL AND tenant > :after

-- name: content_bytes
-- The field `message_bytes` of `app.models.storage.MessageSizes`. Lengths are in the heads of rows, so no long text is read.
octet_length(messages.content) + coalesce(octet_length(messages.options), 0)
+ coalesce(octet_length(messages.metadata), 0) + coalesce(octet_length(messages.result), 0)
+ coalesce(octet_length(messages.output), 0) + coalesce(octet_length(messages.error), 0)
+ coalesce(octet_length(messages.interrupt), 0) + coalesce(octet_length(messages.resume_value), 0)

-- name: log_of_message
(SELECT json_array(count(*), coalesce(sum(octet_length(data)), 0)) FROM events WHERE message = messages.number)

-- name: list_thread_ids
SELECT thread_id FROM threads WHERE tenant = :tenant AND thread_id > :thread_id AND hidden IS NULL ORDER BY thread_id LIMIT :limit

-- name: measure_threads
-- MATERIALIZED, or SQLite would read each log for both of its figures.
WITH page AS MATERIALIZED (
    SELECT thread_id, thread_number, {content_bytes} AS bytes, {log_of_message} AS log
    FROM messages INDEXED BY messages_in_thread
    WHERE tenant = :tenant AND thread_id > :thread_id AND thread_id <= :last
    ORDER BY thread_id, thread_number LIMIT :limit
)
SELECT thread_id, thread_number, bytes, log ->> 0, log ->> 1 FROM page

-- name: measure_thread
WITH page AS MATERIALIZED (
    SELECT thread_id, thread_number, {content_bytes} AS bytes, {log_of_message} AS log
    FROM messages INDEXED BY messages_in_thread
    WHERE tenant = :tenant AND thread_id = :thread_id AND thread_number > :number
    ORDER BY thread_number LIMIT :limit
)
SELECT thread_id, thread_number, bytes, log ->> 0, log ->> 1 FROM page

-- name: measure_messages
-- Rows of threads have no id.
WITH page AS MATERIALIZED (
    SELECT number, iif(thread_id IS NULL, id, NULL) AS id, {content_bytes} AS bytes,
        CASE WHEN thread_id IS NULL THEN {log_of_message} END AS log
    FROM messages INDEXED BY messages_of_tenant
    WHERE tenant = :tenant AND number > :number ORDER BY number LIMIT :limit
)
SELECT number, id, bytes, log ->> 0, log ->> 1 FROM page

-- name: measure_items
SELECT namespace, key, octet_length(value) FROM items
WHERE tenant = :tenant AND (namespace, key) > (:namespace, :key) ORDER BY namespace, key LIMIT :limit

-- name: sampled_columns
id, tenant, thread_id, agent, state, readiness, attempt, crashes, worker_id, coalesce(completed_at, created_at),
    coalesce(error_code, (
        SELECT error_code FROM attempts WHERE attempts.message = messages.number ORDER BY rowid DESC LIMIT 1
    ))

-- name: sample_waiting
SELECT {sampled_columns} FROM messages WHERE rank IS NOT NULL ORDER BY rank, number LIMIT :limit

-- name: sample_delayed
SELECT {sampled_columns} FROM messages WHERE readiness = 'delayed' ORDER BY run_at LIMIT :limit

-- name: sample_processing
SELECT {sampled_columns} FROM messages WHERE state = 'processing' ORDER BY lease_until LIMIT :limit

-- name: sample_ended
SELECT {sampled_columns} FROM messages WHERE completed_at IS NOT NULL ORDER BY completed_at DESC LIMIT :limit

-- name: counted
-- The fields of `app.models.statistics.Counted`. The many that have no times are counted here.
at / 60000 * 60000 AS start, tenant, type, agent, priority, wait_ms, first_token_ms, run_ms, error_code, usage, count(*)

-- name: counted_together
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10

-- name: last_unfolded
-- The last transition to add, and how many there are up to it.
SELECT max(number), count(*) FROM (
    SELECT number FROM transitions WHERE number > (SELECT folded FROM figures_head) ORDER BY number LIMIT :limit
)

-- name: count_unfolded
SELECT {counted} FROM transitions WHERE number > (SELECT folded FROM figures_head) AND number <= :last {counted_together}

-- name: find_unfolded
SELECT {counted} FROM transitions
WHERE number > (SELECT folded FROM figures_head) AND (:tenant IS NULL OR tenant = :tenant) {counted_together}

-- name: any_unfolded
SELECT EXISTS (SELECT 1 FROM transitions WHERE number > (SELECT folded FROM figures_head))

-- name: add_figure
INSERT INTO figures (tenant, step, metric, start, agent, priority, label, value)
VALUES (:tenant, :step, :metric, :start, :agent, :priority, :label, :value)
ON CONFLICT (tenant, step, metric, start, agent, priority, label) DO UPDATE SET value = value + excluded.value

-- name: move_figures_head
UPDATE figures_head SET folded = :number

-- name: prune_transitions
-- The newest row stays, so that its number is not given again. The oldest rows go up to the first that stays: a cursor that
-- is not before the oldest row has missed none.
WITH oldest AS MATERIALIZED (
    SELECT number,
        number > (SELECT folded FROM figures_head) OR number = (SELECT max(number) FROM transitions)
            OR (at >= :before AND number > (SELECT max(number) FROM transitions) - :kept) AS stays
    FROM transitions ORDER BY number LIMIT :limit
)
DELETE FROM transitions
WHERE number <= coalesce((SELECT min(number) FROM oldest WHERE stays) - 1, (SELECT max(number) FROM oldest))
RETURNING 1

-- name: transition_bounds
-- The name of this log in cursors, and the first and the last number that is kept.
SELECT substr(id, 1, 8), coalesce((SELECT min(number) FROM transitions), 1),
    coalesce((SELECT max(number) FROM transitions), 0)
FROM queue

-- name: read_transitions
-- Records of model calls are no changes: only the figures count them.
SELECT number, at, tenant, type, message_id, thread_id, agent, priority, before, error_code, worker_id FROM transitions
WHERE number > :after AND type <> 'usage' AND (:tenant IS NULL OR tenant IN ('', :tenant)) ORDER BY number LIMIT :limit

-- name: sum_figures
{summed_figures} FROM figures WHERE figures.tenant = :tenant AND {chosen_figures}

-- name: sum_figures_of_all
-- Each tenant's figures are found by the primary key.
{summed_figures} FROM (SELECT DISTINCT tenant AS name FROM tallies) AS chosen
CROSS JOIN figures ON figures.tenant = chosen.name WHERE {chosen_figures}

-- name: summed_figures
SELECT CASE WHEN :by_start THEN start ELSE 0 END,
    CASE :by WHEN 'agent' THEN agent WHEN 'priority' THEN priority WHEN 'tenant' THEN figures.tenant ELSE '' END,
    metric, label, sum(value)

-- name: chosen_figures
step = :step AND metric IN (SELECT value FROM json_each(:metrics)) AND start >= :since AND start < :until
    AND (:agent IS NULL OR agent = :agent)
GROUP BY 1, 2, 3, 4

-- name: prune_figures
DELETE FROM figures WHERE step = :step AND start < :before

-- name: differing_tallies
-- Counts by indexes, and reads the rows of unfinished messages only. The rest of a tenant's messages is completed.
WITH known AS (
    SELECT tenant, state, priority, count(*) AS messages FROM messages INDEXED BY messages_waiting
    WHERE rank IS NOT NULL GROUP BY tenant, state, priority
    UNION ALL
    SELECT tenant, state, priority, count(*) FROM messages WHERE readiness = 'delayed' GROUP BY tenant, state, priority
    UNION ALL
    SELECT tenant, state, '', count(*) FROM messages INDEXED BY messages_leased
    WHERE state = 'processing' GROUP BY tenant, state
    UNION ALL
    SELECT tenant, state, '', count(*) FROM messages INDEXED BY messages_interrupted
    WHERE state = 'interrupted' GROUP BY tenant, state
    UNION ALL
    SELECT tenant, 'failed', '', count(*) FROM messages WHERE state = 'failed' GROUP BY tenant
    UNION ALL
    SELECT tenant, 'cancelled', '', count(*) FROM messages WHERE state = 'cancelled' GROUP BY tenant
), counted AS (
    SELECT tenant, state, priority, sum(messages) AS messages FROM known GROUP BY tenant, state, priority
    UNION ALL
    SELECT tenant, 'completed', '', count(*) - coalesce((SELECT sum(messages) FROM known WHERE known.tenant = messages.tenant), 0)
    FROM messages GROUP BY tenant
)
SELECT tenant, state, priority, sum(told), sum(messages) FROM (
    SELECT tenant, state, priority, messages AS told, 0 AS messages FROM tallies
    UNION ALL
    SELECT tenant, state, priority, 0, messages FROM counted
) GROUP BY tenant, state, priority HAVING sum(told) <> sum(messages) ORDER BY tenant, state, priority

-- name: set_tally
INSERT INTO tallies (tenant, state, priority, messages) VALUES (:tenant, :state, :priority, :messages)
ON CONFLICT (state, tenant, priority) DO UPDATE SET messages = excluded.messages

-- name: differing_levels
SELECT level, sum(told), sum(waiting) FROM (
    SELECT level, waiting AS told, 0 AS waiting FROM levels
    UNION ALL
    SELECT rank / 1000000000000000, 0, count(*) FROM messages WHERE rank IS NOT NULL GROUP BY rank / 1000000000000000
) GROUP BY level HAVING sum(told) <> sum(waiting) ORDER BY level

-- name: set_level
INSERT INTO levels (level, waiting) VALUES (:level, :waiting)
ON CONFLICT (level) DO UPDATE SET waiting = excluded.waiting

-- name: counts_of_thread
format('%d queued, %d processing, %d interrupted, %d completed, %d failed, %d cancelled', queued, processing, interrupted,
    completed, failed, cancelled)

-- name: counted_states
count(*) FILTER (WHERE state = 'queued') AS queued, count(*) FILTER (WHERE state = 'processing') AS processing,
        count(*) FILTER (WHERE state = 'interrupted') AS interrupted,
        count(*) FILTER (WHERE state = 'completed') AS completed, count(*) FILTER (WHERE state = 'failed') AS failed,
        count(*) FILTER (WHERE state = 'cancelled') AS cancelled

-- name: differing_threads
WITH part AS MATERIALIZED (
    SELECT tenant, thread_id, {counts_of_thread} AS told FROM threads
    WHERE (tenant, thread_id) > (:tenant, :thread_id) AND hidden IS NULL
    ORDER BY tenant, thread_id LIMIT :limit
), found AS (
    SELECT part.tenant, part.thread_id, part.told, {counted_states}
    FROM part LEFT JOIN messages ON messages.tenant = part.tenant AND messages.thread_id = part.thread_id
    GROUP BY part.tenant, part.thread_id
), counted AS (SELECT tenant, thread_id, told, {counts_of_thread} AS counted FROM found)
SELECT tenant, thread_id, told, counted FROM counted WHERE told <> counted

-- name: end_of_threads
SELECT tenant, thread_id FROM threads WHERE (tenant, thread_id) > (:tenant, :thread_id) AND hidden IS NULL
ORDER BY tenant, thread_id LIMIT 1 OFFSET :before

-- name: differing_thread
WITH told AS (
    SELECT {counts_of_thread} AS told FROM threads WHERE tenant = :tenant AND thread_id = :thread_id AND hidden IS NULL
), found AS (SELECT {counted_states} FROM messages WHERE tenant = :tenant AND thread_id = :thread_id),
counted AS (SELECT {counts_of_thread} AS counted FROM found)
SELECT :tenant, :thread_id, told, counted FROM told, counted WHERE told <> counted

-- name: repair_thread
UPDATE threads SET (queued, processing, interrupted, completed, failed, cancelled) = (
    SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'processing'),
        count(*) FILTER (WHERE state = 'interrupted'), count(*) FILTER (WHERE state = 'completed'),
        count(*) FILTER (WHERE state = 'failed'), count(*) FILTER (WHERE state = 'cancelled')
    FROM messages WHERE tenant = :tenant AND thread_id = :thread_id
)
WHERE tenant = :tenant AND thread_id = :thread_id

-- name: erasure_columns
id, tenant, kind, name, actor, started_at, ended_at, counts

-- name: running_erasures
SELECT tenant, kind, name FROM erasures WHERE ended_at IS NULL

-- name: begin_erasure
INSERT INTO erasures (id, tenant, kind, name, actor, started_at) VALUES (:id, :tenant, :kind, :name, :actor, :now)
ON CONFLICT (tenant, kind, name) WHERE ended_at IS NULL DO NOTHING
RETURNING {erasure_columns}

-- name: same_erasure
SELECT {erasure_columns} FROM erasures
WHERE tenant = :tenant AND kind = :kind AND name = :name AND ended_at IS NULL

-- name: get_erasure
SELECT {erasure_columns} FROM erasures WHERE id = :id AND {of_tenant}

-- name: list_erasures
SELECT {erasure_columns} FROM erasures WHERE {of_tenant} ORDER BY started_at DESC, id DESC LIMIT :limit

-- name: claim_erasure
UPDATE erasures SET busy_until = :until WHERE id = (
    SELECT id FROM erasures WHERE ended_at IS NULL AND busy_until <= :now ORDER BY started_at, id LIMIT 1
)
RETURNING {erasure_columns}

-- name: release_erasure
UPDATE erasures SET busy_until = 0 WHERE id = :id

-- name: counts_of_erasure
SELECT counts FROM erasures WHERE id = :id

-- name: count_erased
UPDATE erasures SET counts = :counts WHERE id = :id

-- name: add_erased_name
INSERT INTO erased_names (erasure, name) VALUES (:erasure, :name) ON CONFLICT DO NOTHING

-- name: find_erasable
SELECT number, id, thread_id, log_pruned FROM messages
WHERE id IN (SELECT value FROM json_each(:ids)) AND +tenant = :tenant AND completed_at IS NOT NULL

-- name: count_parts
-- The events, failed attempts, deliveries and aliases of messages. The ids of events are dense, so two of a message tell.
SELECT
    (SELECT coalesce(sum(
        (SELECT max(id) FROM events WHERE message = named.value) - (SELECT min(id) FROM events WHERE message = named.value) + 1
    ), 0) FROM json_each(:numbers) AS named),
    (SELECT count(*) FROM attempts WHERE message IN (SELECT value FROM json_each(:numbers))),
    (SELECT count(*) FROM deliveries WHERE message_id IN (SELECT value FROM json_each(:ids))),
    (SELECT count(*) FROM aliases WHERE message_id IN (SELECT value FROM json_each(:ids)))

-- name: note_erased
INSERT INTO deleted_messages (id, deleted_at)
SELECT id, :now FROM messages WHERE number IN (SELECT value FROM json_each(:numbers)) AND created_at > :after
ON CONFLICT DO NOTHING

-- name: erase_messages
DELETE FROM messages WHERE number IN (SELECT value FROM json_each(:numbers))

-- name: erase_items
DELETE FROM items WHERE (tenant, namespace, key) IN (
    SELECT tenant, namespace, key FROM items
    WHERE tenant = :tenant AND namespace >= :begin AND namespace < :end LIMIT :limit
)

-- name: erase_request_keys
DELETE FROM request_keys WHERE (tenant, key) IN (SELECT tenant, key FROM request_keys WHERE tenant = :tenant LIMIT :limit)

-- name: erase_usage
DELETE FROM hourly_usage WHERE (tenant, hour, key, subject, agent, model) IN (
    SELECT tenant, hour, key, subject, agent, model FROM hourly_usage
    WHERE tenant = :tenant LIMIT :limit
)

-- name: usage_of_subject
FROM hourly_usage WHERE tenant = :tenant AND subject = :subject ORDER BY hour, key, agent, model LIMIT :limit

-- name: add_usage_without_subject
INSERT INTO hourly_usage (tenant, hour, key, subject, agent, model, {token_columns})
SELECT tenant, hour, key, '', agent, model, {token_columns} {usage_of_subject}
ON CONFLICT (tenant, hour, key, subject, agent, model) DO UPDATE SET
    {added_tokens}

-- name: erase_usage_of_subject
DELETE FROM hourly_usage WHERE (tenant, hour, key, subject, agent, model) IN (
    SELECT tenant, hour, key, subject, agent, model {usage_of_subject}
)

-- name: erase_figures
DELETE FROM figures WHERE (tenant, step, metric, start, agent, priority, label) IN (
    SELECT tenant, step, metric, start, agent, priority, label FROM figures WHERE tenant = :tenant LIMIT :limit
)

-- name: erase_api_keys
DELETE FROM api_keys WHERE id IN (SELECT id FROM api_keys WHERE tenant = :tenant LIMIT :limit)

-- name: erase_token_ends
-- The end of all of the tenant's tokens stays, and holds for these too.
DELETE FROM ended_tokens WHERE (tenant, subject) IN (
    SELECT tenant, subject FROM ended_tokens WHERE tenant = :tenant AND subject <> '' LIMIT :limit
)

-- name: erase_tallies
DELETE FROM tallies WHERE tenant = :tenant AND messages = 0

-- name: end_of_request_keys
SELECT max(key) FROM request_keys WHERE tenant = :tenant

-- name: end_of_forks
SELECT max(thread_id) FROM threads WHERE tenant = :tenant

-- name: end_of_audit
SELECT max(number) FROM audit

-- name: end_of_transitions
SELECT max(number) FROM transitions

-- name: part_of_request_keys
SELECT max(key) FROM (
    SELECT key FROM request_keys WHERE tenant = :tenant AND key > :after ORDER BY key LIMIT :limit
)

-- name: part_of_forks
SELECT max(thread_id) FROM (
    SELECT thread_id FROM threads WHERE tenant = :tenant AND thread_id > :after ORDER BY thread_id LIMIT :limit
)

-- name: part_of_audit
SELECT max(number) FROM (SELECT number FROM audit WHERE number > :after ORDER BY number LIMIT :limit)

-- name: part_of_transitions
SELECT max(number) FROM (SELECT number FROM transitions WHERE number > :after ORDER BY number LIMIT :limit)

-- name: is_erased_name
IN (SELECT name FROM erased_names WHERE erasure = :erasure)

-- name: erase_keys_by_name
-- Keys of the subject begin with its name, see `app.access.visible.own_name`. Receipts name the messages or the thread.
DELETE FROM request_keys WHERE tenant = :tenant AND key > :after AND key <= :last AND (
    substr(key, 1, length(:own)) = :own AND :own <> ''
    OR EXISTS (SELECT 1 FROM json_tree(receipts) AS part WHERE part.atom {is_erased_name})
)

-- name: names_erased_thread
forked_from ->> 'thread_id' {is_erased_name}

-- name: names_erased_message
forked_from ->> 'message_id' {is_erased_name}

-- name: erase_names_of_forks
-- The fork of a fork may name a message of the first thread.
UPDATE threads SET forked_from = json_set(
    forked_from,
    '$.thread_id', CASE WHEN {names_erased_thread} THEN 'erased' ELSE forked_from ->> 'thread_id' END,
    '$.message_id', CASE WHEN {names_erased_message} THEN 'erased' ELSE forked_from ->> 'message_id' END
)
WHERE tenant = :tenant AND thread_id > :after AND thread_id <= :last AND forked_from IS NOT NULL
    AND ({names_erased_thread} OR {names_erased_message})

-- name: erase_names_of_audit
UPDATE audit SET
    actor = CASE WHEN actor = :actor OR :everything AND actor LIKE 'subject:%' THEN 'subject:erased' ELSE actor END,
    address = CASE WHEN actor = :actor OR :everything THEN NULL ELSE address END,
    details = '{}',
    targets = (
        SELECT json_group_array(
            CASE WHEN :everything OR {names_in_details} OR target.value {is_erased_name} THEN 'erased' ELSE target.value END
            ORDER BY target.id
        )
        FROM json_each(audit.targets) AS target
    )
WHERE number > :after AND number <= :last AND tenant = :tenant AND action <> 'data.erase' AND (
    :everything OR actor = :actor OR {names_in_details}
    OR EXISTS (SELECT 1 FROM json_each(audit.targets) AS named WHERE named.value {is_erased_name})
)

-- name: names_in_details
EXISTS (SELECT 1 FROM json_tree(audit.details) AS detail WHERE detail.atom {is_erased_name})

-- name: erase_actor_of_audit
-- The record of the erasure itself names who asked for it, which may be the subject.
UPDATE audit SET actor = 'subject:erased', address = NULL
WHERE number > :after AND number <= :last AND tenant = :tenant AND action = 'data.erase'
    AND (actor = :actor OR :everything AND actor LIKE 'subject:%')

-- name: erase_names_of_transitions
UPDATE transitions SET thread_id = 'erased'
WHERE number > :after AND number <= :last AND tenant = :tenant AND thread_id IS NOT NULL
    AND (:everything OR thread_id {is_erased_name})

-- name: forget_erased_names
DELETE FROM erased_names WHERE (erasure, name) IN (
    SELECT erasure, name FROM erased_names WHERE erasure = :erasure LIMIT :limit
)

-- name: left_of_tenant
SELECT EXISTS (SELECT 1 FROM messages WHERE tenant = :tenant) OR EXISTS (SELECT 1 FROM threads WHERE tenant = :tenant)

-- name: left_of_subject
SELECT EXISTS (SELECT 1 FROM messages WHERE tenant = :tenant AND subject = :name)
    OR EXISTS (SELECT 1 FROM threads WHERE tenant = :tenant AND subject = :name)

-- name: left_of_thread
SELECT EXISTS (SELECT 1 FROM messages WHERE tenant = :tenant AND thread_id = :name)
    OR EXISTS (SELECT 1 FROM threads WHERE tenant = :tenant AND thread_id = :name)

-- name: left_in_memory
SELECT EXISTS (
    SELECT 1 FROM dropped_memories WHERE tenant = :tenant
        AND (:everything OR thread_id {is_erased_name} OR message_id {is_erased_name})
) OR EXISTS (SELECT 1 FROM dropped_logs)

-- name: end_erasure
UPDATE erasures SET ended_at = :now, name = '' WHERE id = :id AND ended_at IS NULL
